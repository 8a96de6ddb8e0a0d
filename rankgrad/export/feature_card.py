"""The README.md of the bundle of a feature ranker, or of a cascade of them."""

from __future__ import annotations

from typing import Any

from rankgrad.export.card_tables import quality_section, table
from rankgrad.export.cascade_card import cascade_section

_ALONE = "An item's score depends on its own features alone."
_LISTWISE = "Items attend to each other: an item's score depends on the whole list, not on its order."
_CASCADE = "A stage hands its best items on to the next: an item's score depends on the whole list, not on its order."
_ORDER = """The order of every list is the same, below, at and above each cut-off. Items that a stage scores within
twice that bound of each other were left out: which of them is handed on, rounding decides.
"""
_LISTED_NAMES = 200


def feature_card(content: dict[str, Any], name: str) -> str:
    """The text of the card.

    Args:
        content: what ``rankgrad.json`` holds.
        name: title of the card.
    """
    features, provenance, parity = content["features"], content["provenance"], content["parity"]
    settings, graph = provenance["settings"], content["graphs"]["fp32"]
    count, cascade = features["count"], content.get("cascade")
    what, company = "A feature ranker", _LISTWISE if features["listwise"] else _ALONE
    if cascade is not None:
        what, company = "A cascade of feature rankers in one graph", _CASCADE
    return f"""---
library_name: onnx
tags: [rankgrad, feature-ranker, learning-to-rank]
---
# {name}

{what}: it reads lists of rows of {count} features and gives each row a score; higher is better.
{company} The fitted transform of the features
(`{settings["transform"]}`) is inside the graph: pass raw features. What is not finite counts as missing.

Inputs: `features`, float32 `[lists, items, {count}]`; `mask`, bool `[lists, items]`, True = a real item. Output:
`scores`, float32 `[lists, items]`, 0 where masked. Any number of lists and items. Opset {content["opset"]}.
{"" if cascade is None else cascade_section(cascade)}
## Features

{_names(features["names"])}

## File

`{graph["file"]}`, {graph["bytes"] / 2**10:,.0f} KiB, SHA-256 `{graph["sha256"]}`. There is no int8 graph: a network of
{provenance["parameters"]:,} parameters has little to save.

## Agreement with torch

Largest relative difference over {len(parity["shapes"])} shapes of (lists, items, padding), with missing values and
numbers in the padding: {max(each["difference"] for each in parity["shapes"]):.1e}; over lists of different lengths
through `rankgrad.deploy`: {parity["ragged_difference"]:.1e} (refused over {parity["tolerance"]:.0e}).
{"" if cascade is None else _ORDER}{quality_section(content)}
## Latency

{_latency(content["latency"])}

## Made of

rankgrad {content["rankgrad_version"]}, torch {provenance["torch_version"]}; weights' SHA-256
`{provenance["weights_sha256"]}`.

## Use

Without torch (numpy and onnxruntime):

```python
import numpy
from rankgrad import deploy

model = deploy.load("{name}")
lists = [numpy.random.rand(3, {count}), numpy.random.rand(5, {count})]
for scores in model.score(lists):
    print(scores)
```

or `python -m rankgrad.deploy {name} rows.csv` (or svmlight lines). With ONNX Runtime alone:

```python
import numpy, onnxruntime

session = onnxruntime.InferenceSession("{name}/{graph["file"]}")
features = numpy.random.rand(1, 4, {count}).astype("float32")
output = session.run(None, {{"features": features, "mask": numpy.ones((1, 4), dtype=bool)}})[0]
```
"""


def _latency(latency: dict[str, Any]) -> str:
    times = latency["variants"]["fp32"]
    rows = [[f"{1000 * times[name]:.2f}" for name in ("fastest", "median", "slowest")]]
    return f"""{table(("fastest", "median", "slowest"), rows)}

Microseconds a row, where one list of {latency["documents"]} rows is scored on {latency["threads"]} thread of
{latency["cpu"]}, ONNX Runtime {latency["onnxruntime"]}."""


def _names(names: list[str] | None) -> str:
    if names is None:
        return "Columns in the order of the training data; their names were not recorded."
    listed = "\n".join(f"{place}. {name}" for place, name in enumerate(names[:_LISTED_NAMES], 1))
    return listed + (f"\n\nand {len(names) - _LISTED_NAMES} more" if len(names) > _LISTED_NAMES else "")

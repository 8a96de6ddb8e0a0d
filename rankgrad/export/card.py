"""A bundle's README.md: what it is, what goes in and out, how far it is from the model it was made of."""

from __future__ import annotations

from typing import Any

from rankgrad.export.card_kinds import about, onnxruntime_alone
from rankgrad.export.card_tables import (
    files_table,
    fused_line,
    latency_section,
    quality_section,
    scores_table,
    separate_table,
)


def card(content: dict[str, Any], name: str) -> str:
    """The text of the card.

    Args:
        content: what ``rankgrad.json`` holds.
        name: title of the card.
    """
    kind = content["kind"]
    parity = content["parity"]
    return f"""---
library_name: onnx
pipeline_tag: text-ranking
tags: [rankgrad, {kind.replace("_", "-")}, reranker]
---
# {name}

{about(content)}

## Files

{files_table(content)}
{fused_line(content)}{separate_table(content)}
`rankgrad verify` compares every file with its checksum.

## Agreement with torch

Largest relative difference of the fp32 graph over {len(parity["shapes"])} shapes of (batch, tokens, padding):
{max(each["difference"] for each in parity["shapes"]):.1e} (refused over {parity["tolerance"]:.0e}).

{scores_table(content)}

Measured on {parity["lists"]} queries with {parity["documents"]} documents in all, the dependences on the first 64
documents. *Batch dependence* is the largest
change of a score between a run of its own and a run of the whole list, *padding dependence* between a run of its own
and the same row padded to the longest of the list: the activations of int8 are scaled over a whole run, so its scores
depend on the other rows and on padding. `rankgrad.deploy` runs int8 rows one at a time; do the same elsewhere, or group
texts of like length.
{quality_section(content)}
## Latency

{latency_section(content)}

## Provenance

{_provenance(content)}

## Use

Without torch (numpy, onnxruntime and tokenizers):

```python
from rankgrad import deploy

model = deploy.load("{name}", variant="fp32")
for result in model.rerank("a query", ["a document", "another document"]):
    print(result.index, result.score)
```

or `python -m rankgrad.deploy {name} "a query" "a document" "another document"`.{onnxruntime_alone(content, name)}"""


def _provenance(content: dict[str, Any]) -> str:
    made = content["provenance"]
    return f"""Exported by rankgrad {content["rankgrad_version"]} with torch {made["torch_version"]} from a model of
{made["parameters"]:,} parameters; SHA-256 of its names and float32 weights `{made["weights_sha256"]}`."""

"""A bundle's README.md: what it is, what goes in and out, how far it is from the model it was made of."""

from __future__ import annotations

from typing import Any

_WHAT = {
    "cross_encoder": """A cross-encoder: it reads a query and a document together and gives one score. Higher is better;
the score is a logit, without a sigmoid.""",
    "colbert": """A ColBERT: it encodes queries and documents apart, one vector a token, and compares them by MaxSim.
Projection and normalisation are inside the graph; `rankgrad.json` has the prefixes, lengths and skipped tokens.""",
}
_OUTPUT = {
    "cross_encoder": "`logits`, float32 `[batch, 1]`",
    "colbert": "`contextual`, float32 `[batch, tokens, {dim}]`, vectors of unit length",
}
_TEXTS = {"cross_encoder": '"a query", "a document"', "colbert": '"a document"'}


def card(content: dict[str, Any], name: str) -> str:
    """The text of the card.

    Args:
        content: what ``rankgrad.json`` holds.
        name: title of the card.
    """
    kind = content["kind"]
    inputs = ", ".join(f"`{each}`" for each in content["inputs"])
    parity = content["parity"]
    return f"""---
library_name: onnx
pipeline_tag: text-ranking
tags: [rankgrad, {kind.replace("_", "-")}, reranker]
---
# {name}

{_WHAT[kind]}

Inputs: {inputs}, int64 `[batch, tokens]`, any number of rows, up to {content["longest"]} tokens. Output:
{_OUTPUT[kind].format(dim=content["dim"])}. Opset {content["opset"]}.

## Files

| variant | file | MiB |
|---|---|---|
{_sizes(content)}

## Agreement with torch

Largest relative difference of the fp32 graph over {len(parity["shapes"])} shapes of (batch, tokens, padding):
{max(each["difference"] for each in parity["shapes"]):.1e} (refused over {parity["tolerance"]:.0e}).

{_scores(content)}

Measured on {parity["lists"]} queries with {parity["documents"]} documents in all. *Batch dependence* is the largest
change of a score between a run of its own and a run of the whole list: int8 activations are scaled over a whole run, so
int8 scores depend on the other rows. `rankgrad.deploy` runs int8 rows one at a time; do the same elsewhere, or group
texts of like length.

## Use

Without torch (numpy, onnxruntime and tokenizers):

```python
from rankgrad import deploy

model = deploy.load("{name}", variant="fp32")
for result in model.rerank("a query", ["a document", "another document"]):
    print(result.index, result.score)
```

or `python -m rankgrad.deploy {name} "a query" "a document" "another document"`. With ONNX Runtime alone:

```python
import numpy, onnxruntime, tokenizers

session = onnxruntime.InferenceSession("{name}/onnx/model.onnx")
text = tokenizers.Tokenizer.from_file("{name}/tokenizer.json").encode({_TEXTS[kind]})
values = {{"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}}
feeds = {{each.name: numpy.array([values[each.name]], dtype="int64") for each in session.get_inputs()}}
output = session.run(None, feeds)[0]
```
"""


def _sizes(content: dict[str, Any]) -> str:
    graphs = content["graphs"].items()
    return "\n".join(f"| {variant} | `{graph['file']}` | {graph['bytes'] / 2**20:.1f} |" for variant, graph in graphs)


def _scores(content: dict[str, Any]) -> str:
    rows = [
        "| variant | largest score difference | spread of scores | Kendall tau | batch dependence |",
        "|---|---|---|---|---|",
    ]
    for variant in content["graphs"]:
        found = content["parity"][variant]
        rows.append(
            f"| {variant} | {found['score_difference']:.2g} | {found['score_spread']:.2g} | {found['kendall_tau']:.3f} "
            f"| {found['batch_dependence']:.2g} |"
        )
    return "\n".join(rows)

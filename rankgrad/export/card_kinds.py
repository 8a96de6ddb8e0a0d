"""What a card says of a kind of model: what it is, what goes in and out, how to run it with ONNX Runtime alone."""

from __future__ import annotations

from typing import Any

WHAT = {
    "cross_encoder": """A cross-encoder: it reads a query and a document together and gives one score. Higher is better;
the score is a logit, without a sigmoid.""",
    "colbert": """A ColBERT: it encodes queries and documents apart, one vector a token, and compares them by MaxSim.
Projection and normalisation are inside the graph; `rankgrad.json` has the prefixes, lengths and skipped tokens.""",
    "colbert_reranker": """A ColBERT that reranks in one run: tokens of queries and of candidates in, the MaxSim of
every query with every candidate out. Projection, normalisation, query expansion, skipped tokens and masks are inside
the graph; a candidate without a token that counts scores -inf. `rankgrad.json` has the prefixes and lengths. Where
queries are expanded, give them as many columns as they are expanded to, or more.""",
    "dense_encoder": """A dense encoder: it makes one vector of a text; scores are {similarity}. Pooling, dense layers
and normalisation are inside the graph; `rankgrad.json` has prompts and lengths. sentence-transformers opens the folder
with `backend="onnx"` and makes the same of the second output.""",
    "sparse_encoder": """A sparse encoder (SPLADE): it gives a text a weight for each term of the vocabulary, and scores
are dot products. Most weights are 0, which an inverted index makes use of. {queries}`rankgrad.json` has the lengths and
how many terms are kept.""",
    "causal_reranker": """A causal reranker: a decoder reads a prompt of a query and a document, and the answer it would
give is the score, a logit. Higher is better. `rankgrad.json` has the prompt and the lengths; rows may be padded on
either side.""",
}
OUTPUT = {
    "cross_encoder": "`logits`, float32 `[batch, 1]`",
    "colbert": "`contextual`, float32 `[batch, tokens, {dim}]`, vectors of unit length",
    "colbert_reranker": "`scores`, float32 `[queries, documents]`",
    "dense_encoder": "`sentence_embedding`, float32 `[batch, {dim}]`; also `last_hidden_state`",
    "sparse_encoder": "`weights`, float32 `[batch, {dim}]`",
    "causal_reranker": "`logits`, float32 `[batch, 1]`",
}
_SHAPE = {"colbert_reranker": "`[queries, query_tokens]` and `[documents, document_tokens]`"}
_TEXTS = {
    "cross_encoder": '"a query", "a document"',
    "colbert": '"a document"',
    "dense_encoder": '"a document"',
    "sparse_encoder": '"a document"',
}
_LISTWISE = """
It is listwise: the candidates of a query see each other, so the rows of a run must be all candidates of one query, in
any order, and of no other. `rankgrad.deploy` runs them so, in int8 too; a run of its own is one list here. Libraries
that batch pairs as they come give other scores."""
_LOOKUP = """A query is not encoded: its terms are its own tokens, with the weights of `idf.json`. """


def about(content: dict[str, Any]) -> str:
    """What the model is, its inputs and its output.

    Args:
        content: what ``rankgrad.json`` holds.
    """
    kind, options = content["kind"], content.get("options", {})
    similarity = "cosines" if options.get("similarity") == "cosine" else "dot products"
    what = WHAT[kind].format(similarity=similarity, queries=_LOOKUP if options.get("lookup") else "")
    if "exit" in content:
        what += "\nIt scores behind layer {layer} of {depth}; the others are left out.".format(**content["exit"])
    if "compress" in content:
        what += "\nBehind layer {layer} every {ratio} neighbouring words of a document become one.".format(
            **content["compress"]
        )
    if options.get("listwise"):
        what += _LISTWISE
    inputs = ", ".join(f"`{each}`" for each in content["inputs"])
    return f"""{what}

Inputs: {inputs}, int64 {_SHAPE.get(kind, "`[batch, tokens]`")}, any number of rows, up to {content["longest"]} tokens.
Output: {OUTPUT[kind].format(dim=content["dim"])}. Opset {content["opset"]}."""


def onnxruntime_alone(content: dict[str, Any], name: str) -> str:
    """How to run the graph without rankgrad; empty for a kind whose texts need more than a tokenizer.

    Args:
        content: what ``rankgrad.json`` holds.
        name: the bundle's folder.
    """
    texts = _TEXTS.get(content["kind"])
    if texts is None:
        return ""
    return f""" With ONNX Runtime alone:

```python
import numpy, onnxruntime, tokenizers

session = onnxruntime.InferenceSession("{name}/onnx/model.onnx")
text = tokenizers.Tokenizer.from_file("{name}/tokenizer.json").encode({texts})
values = {{"input_ids": text.ids, "attention_mask": text.attention_mask, "token_type_ids": text.type_ids}}
feeds = {{each.name: numpy.array([values[each.name]], dtype="int64") for each in session.get_inputs()}}
output = session.run(None, feeds)[0]
```
"""

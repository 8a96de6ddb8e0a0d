"""From a trained ranker to an ONNX graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from rankgrad.export.trace import OPSET, Axes, Declared, write_graph
from rankgrad.models import ColBERT, CrossEncoder, FeatureRanker

if TYPE_CHECKING:
    from onnx import GraphProto

Ranker: TypeAlias = CrossEncoder | ColBERT
Model = TypeVar("Model", bound=nn.Module)


def export_onnx(model: Ranker | FeatureRanker, path: str | Path, *, opset: int = OPSET) -> Declared:
    """Write a model as one ONNX file in float32, with any number of rows and any length.

    A cross-encoder's graph gives ``logits [batch, 1]``, no sigmoid; a ColBERT's ``contextual [batch, tokens, dim]``,
    with projection and normalisation inside. Inputs are int64 ``[batch, tokens]``; one that nothing reads is dropped.
    A feature ranker's takes ``features [lists, items, features]`` float32 and ``mask [lists, items]`` bool, True = a
    real item, and gives ``scores [lists, items]``, 0 where masked; its fitted transform is inside.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder`, :class:`rankgrad.models.ColBERT` or
            :class:`rankgrad.models.FeatureRanker`, of any dtype, on any device.
        path: the file to write.
        opset: version of the ONNX operators.

    Raises:
        InputError: when an axis of the graph came out fixed, the weights do not fit into one file (2 GiB), or a feature
            ranker's transform is not fitted.
        MissingExtraError: without onnx or onnxscript.
    """
    graph = exportable(model)
    if isinstance(graph, FeatureRanker):
        return _export_features(graph, path, opset)
    example = _example(graph)
    shapes: dict[str, Axes] = dict.fromkeys(example, ("batch", "tokens"))
    shapes |= (
        {"logits": ("batch", 1)} if isinstance(graph, CrossEncoder) else {"contextual": ("batch", "tokens", graph.dim)}
    )
    graph.forward = graph.forward_tokens  # type: ignore[method-assign]
    with _eager_attention(graph):
        return write_graph(graph, example, path, shapes=shapes, opset=opset, tidy=_drop_unread_inputs)


def exportable(model: Model) -> Model:
    """A copy on the CPU, in eval mode and float32; ONNX Runtime's CPU kernels lack half precision."""
    return copy.deepcopy(model).cpu().float().eval()


def _export_features(graph: FeatureRanker, path: str | Path, opset: int) -> Declared:
    graph.transform.check_fitted()
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    features = torch.ones(2, 5, graph.features)
    features[0, 0, 0] = torch.nan
    items = ("lists", "items")
    graph.forward = graph.forward_lists  # type: ignore[method-assign]
    shapes: dict[str, Axes] = {"features": (*items, graph.features), "mask": items, "scores": items}
    return write_graph(graph, {"features": features, "mask": mask}, path, shapes=shapes, opset=opset)


def _example(model: Ranker) -> dict[str, Tensor]:
    """Inputs to trace with: no size of 0 or 1, which would be taken as fixed; a padding that keeps the mask in."""
    input_ids = torch.full((2, 8), model.tokenizer.pad_id)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 5:] = 0
    if isinstance(model, ColBERT):
        return {"input_ids": input_ids, "attention_mask": attention_mask}
    token_type_ids = torch.zeros_like(input_ids)
    token_type_ids[:, 3:] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


def _drop_unread_inputs(graph: GraphProto) -> None:
    """Take out inputs of which only the shape is read (every input has the same): a runtime would demand them."""
    read = {name for node in graph.node if node.op_type != "Shape" for name in node.input}
    unread = [value for value in graph.input if value.name not in read]
    for value in unread:
        graph.input.remove(value)
    names = {value.name for value in unread}
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in names:
            node.input[0] = graph.input[0].name


@contextmanager
def _eager_attention(model: Ranker) -> Iterator[None]:
    """Trace plain attention: exported fused attention guards each layer against empty rows, and runs 6 % slower."""
    backbone = model.backbone
    before = getattr(backbone.config, "_attn_implementation", None)
    switch = getattr(backbone, "set_attn_implementation", None)
    if switch is None or before in (None, "eager"):
        yield
        return
    switch("eager")
    try:
        yield
    finally:
        switch(before)

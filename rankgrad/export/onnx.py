"""From a trained ranker to an ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from rankgrad.export.cascade_graph import CascadeGraph
from rankgrad.export.feature_probe import FeatureModel
from rankgrad.export.reference import Ranker, TextRanker, eager_attention, exportable
from rankgrad.export.shared_weights import fold_transposes, share_weights
from rankgrad.export.subject import Subject
from rankgrad.export.subjects import subject_of
from rankgrad.export.token_inputs import TOKENS, pair_example, token_example
from rankgrad.export.trace import OPSET, Axes, Declared, write_graph
from rankgrad.models import ColBERT, CrossEncoder, FeatureRanker
from rankgrad.pipeline import FeatureCascade

if TYPE_CHECKING:
    from onnx import GraphProto


def export_onnx(model: TextRanker | FeatureModel | Subject, path: str | Path, *, opset: int = OPSET) -> Declared:
    """Write a model as one ONNX file in float32, with any number of rows and any length.

    A cross-encoder's graph gives ``logits [batch, 1]``, no sigmoid, a causal reranker's too; a ColBERT's ``contextual
    [batch, tokens, dim]``, with projection and normalisation inside; a dense encoder's ``sentence_embedding [batch,
    dim]`` and ``last_hidden_state``; a sparse encoder's ``weights [batch, vocabulary]``. Inputs are int64 ``[batch,
    tokens]``; one that nothing reads is dropped. A feature ranker's graph takes ``features [lists, items, features]``
    float32 and ``mask [lists, items]`` bool, True = a real item, and gives ``scores [lists, items]``, 0 where masked;
    its fitted transform is inside. A cascade of feature rankers gives the same, of what it runs evaluated, with all
    stages and cut-offs inside.

    Args:
        model: any of :mod:`rankgrad.models` but an image model, or a :class:`rankgrad.pipeline.FeatureCascade`, of any
            dtype, on any device; or what :func:`rankgrad.export.subjects.subject_of` made of one.
        path: the file to write; weights above 2 GB go to a second one beside it, ``<path>_data``.
        opset: version of the ONNX operators.

    Raises:
        InputError: for a model that has no such graph, when an axis of the graph came out fixed, or a feature ranker's
            transform is not fitted.
        MissingExtraError: without onnx or onnxscript.
    """
    if isinstance(model, FeatureRanker | FeatureCascade):
        return _export_features(exportable(model), path, opset)
    if isinstance(model, nn.Module):
        model = subject_of(model)
    if not isinstance(model, nn.Module):
        shapes, example, ranker, graph = model.axes, model.example(), model.model, model.graph.eval()
    else:
        shapes, example = _padded_graph(model)
        ranker = graph = model
        graph.forward = graph.forward_tokens  # type: ignore[method-assign]
    with eager_attention(ranker):
        return write_graph(graph, example, path, shapes=shapes, opset=opset, tidy=_tidy)


def _padded_graph(model: Ranker) -> tuple[dict[str, Axes], dict[str, torch.Tensor]]:
    """Axes and inputs of a cross-encoder's or a ColBERT's graph."""
    example = pair_example(model) if isinstance(model, CrossEncoder) else token_example(model)
    inputs: dict[str, Axes] = dict.fromkeys(example, TOKENS)
    if isinstance(model, ColBERT):
        return inputs | {"contextual": (*TOKENS, model.dim)}, example
    return inputs | {"logits": ("batch", 1)}, example


def _export_features(model: FeatureModel, path: str | Path, opset: int) -> Declared:
    model.transform.check_fitted()
    mask = torch.ones(2, 5, dtype=torch.bool)
    mask[1, 3:] = False
    features = torch.ones(2, 5, model.features)
    features[0, 0, 0] = torch.nan
    items = ("lists", "items")
    graph = model
    if isinstance(model, FeatureCascade):
        graph = CascadeGraph(model).eval()
    else:
        graph.forward = model.forward_lists  # type: ignore[method-assign]
    shapes: dict[str, Axes] = {"features": (*items, model.features), "mask": items, "scores": items}
    return write_graph(graph, {"features": features, "mask": mask}, path, shapes=shapes, opset=opset)


def _tidy(graph: GraphProto) -> None:
    drop_unread_inputs(graph)
    fold_transposes(graph)
    share_weights(graph)


def drop_unread_inputs(graph: GraphProto) -> None:
    """Take out inputs of which only the shape is read, where the first has the same: a runtime would demand them."""
    first = graph.input[0]
    read = {name for node in graph.node if node.op_type != "Shape" for name in node.input}
    unread = [
        value
        for value in graph.input
        if value.name not in read and value.type.tensor_type.shape == first.type.tensor_type.shape
    ]
    for value in unread:
        graph.input.remove(value)
    names = {value.name for value in unread}
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in names:
            node.input[0] = graph.input[0].name

"""From a trained ranker to an ONNX graph."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor

from rankgrad._checks import InputError, require
from rankgrad.models import ColBERT, CrossEncoder

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto
    from torch.onnx import ONNXProgram

Ranker: TypeAlias = CrossEncoder | ColBERT

OPSET = 20
"""The first opset with a Gelu operator, which saves 8 % of an int8 run of MiniLM; ONNX Runtime reads it since 1.17."""

_LARGEST_FILE = 2**31 - 1
_HARMLESS_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).* is deprecated",
    r"# The axis name: .* will not be used, since it shares the same shape constraints with another axis",
)
_REGISTRATION_LOG = "torch.onnx._internal.exporter._registration"


class Declared(NamedTuple):
    """What a graph declares: the names of its inputs, of its output, and its opset."""

    inputs: tuple[str, ...]
    output: str
    opset: int


def export_onnx(model: Ranker, path: str | Path, *, opset: int = OPSET) -> Declared:
    """Write a model as one ONNX file in float32, with any number of rows and any length.

    A cross-encoder's graph gives ``logits [batch, 1]``, no sigmoid; a ColBERT's ``contextual [batch, tokens, dim]``,
    with projection and normalisation inside. Inputs are int64 ``[batch, tokens]``; one that nothing reads is dropped.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder` or :class:`rankgrad.models.ColBERT`, of any dtype, on any device.
        path: the file to write.
        opset: version of the ONNX operators.

    Raises:
        InputError: when the graph's inputs came out with a fixed size, or the weights do not fit into one file (2 GiB).
        MissingExtraError: without onnx or onnxscript.
    """
    onnx = require("onnx", "onnx")
    require("onnxscript", "onnx")
    output = "logits" if isinstance(model, CrossEncoder) else "contextual"
    example = _example(model)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens")
    graph = exportable(model)
    graph.forward = graph.forward_tokens  # type: ignore[method-assign]
    with _quiet(), _eager_attention(graph), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (),
            kwargs=example,
            dynamo=True,
            dynamic_shapes={name: {0: batch, 1: tokens} for name in example},
            output_names=[output],
            opset_version=opset,
            verbose=False,
        )
    proto = cast("ONNXProgram", program).model_proto
    _drop_unread_inputs(proto.graph)
    _drop_traces(proto)
    _check_symbolic(proto.graph)
    if proto.ByteSize() > _LARGEST_FILE:
        size = proto.ByteSize() / 2**30
        raise InputError(f"{size:.1f} GiB of weights exceed the 2 GiB of an ONNX file: export a smaller model")
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))
    versions = {opset.domain: opset.version for opset in proto.opset_import}
    return Declared(tuple(value.name for value in proto.graph.input), output, versions[""])


def exportable(model: Ranker) -> Ranker:
    """A copy on the CPU, in eval mode and float32; ONNX Runtime's CPU kernels lack half precision."""
    return copy.deepcopy(model).cpu().float().eval()


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


def _drop_traces(proto: ModelProto) -> None:
    """Take out the exporter's notes: stack traces with the paths of this machine."""
    graph = proto.graph
    noted = (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for holder in noted:
        del holder.metadata_props[:]
        holder.doc_string = ""


def _check_symbolic(graph: GraphProto) -> None:
    """Refuse a graph whose inputs have a fixed size: exporters have fixed one without a word."""
    for value in graph.input:
        shape = _shape(value)
        if shape != ["batch", "tokens"]:
            raise InputError(f"the exported graph's {value.name} has shape {shape}, expected ['batch', 'tokens']")


def _shape(value: ValueInfoProto) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of itself: two deprecations inside torch, and torchvision not being there."""
    logger = logging.getLogger(_REGISTRATION_LOG)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _HARMLESS_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)

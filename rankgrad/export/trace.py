"""From a module to one ONNX file whose axes stay free."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.export.graph_files import atomic_graph, check_graph, save_graph

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto
    from torch.onnx import ONNXProgram

OPSET = 20
"""The first opset with a Gelu operator, which saves 8 % of an int8 run of MiniLM; ONNX Runtime reads it since 1.17."""

Axes: TypeAlias = Sequence[str | int]
"""What an input or output must declare: names of free axes, sizes of fixed ones."""

_HARMLESS_WARNINGS = (
    r".*isinstance\(treespec, LeafSpec\).* is deprecated",
    r"# The axis name: .* will not be used, since it shares the same shape constraints with another axis",
)
_REGISTRATION_LOG = "torch.onnx._internal.exporter._registration"


class Declared(NamedTuple):
    """What a graph declares: the names of its inputs, of its first output, and its opset."""

    inputs: tuple[str, ...]
    output: str
    opset: int


def write_graph(
    module: nn.Module,
    example: Mapping[str, Tensor],
    path: str | Path,
    *,
    shapes: Mapping[str, Axes],
    opset: int = OPSET,
    tidy: Callable[[GraphProto], object] = lambda graph: None,
) -> Declared:
    """Trace a module and write it as one file, or as two where the weights exceed 2 GB.

    Args:
        module: on the CPU, in float32 and evaluation mode.
        example: an input by its name in ``forward``; no free axis may have size 0 or 1, which would be taken as fixed.
        path: the file to write; larger weights go to :func:`rankgrad.export.graph_files.data_path` beside it.
        shapes: the axes of each input, then of each output, in their order.
        opset: version of the ONNX operators.
        tidy: what is done to the graph before it is checked.

    Raises:
        InputError: when an axis came out otherwise.
        MissingExtraError: without onnx or onnxscript.
    """
    require("onnx", "onnx")
    require("onnxscript", "onnx")
    outputs = [name for name in shapes if name not in example]
    placed = by_place(module, example)
    free = {name: torch.export.Dim(name) for axes in shapes.values() for name in axes if isinstance(name, str)}
    dynamic = {
        name: {place: free[axis] for place, axis in enumerate(shapes[name]) if isinstance(axis, str)}
        for name in example
    }
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            tuple(example[name] for name in placed),
            kwargs={name: value for name, value in example.items() if name not in placed},
            dynamo=True,
            dynamic_shapes=dynamic,
            output_names=outputs,
            opset_version=opset,
            verbose=False,
        )
    proto = cast("ONNXProgram", program).model_proto
    tidy(proto.graph)
    _drop_traces(proto)
    check_axes(proto.graph, shapes)
    with atomic_graph(path) as temporary:
        save_graph(proto, temporary)
        check_graph(temporary)
    versions = {each.domain: each.version for each in proto.opset_import}
    return Declared(tuple(value.name for value in proto.graph.input), outputs[0], versions[""])


def check_axes(graph: GraphProto, shapes: Mapping[str, Axes]) -> None:
    """Refuse a graph with other axes than asked for: exporters have fixed one without a word."""
    for value in (*graph.input, *graph.output):
        shape, expected = _shape(value), list(shapes[value.name])
        if shape != expected:
            raise InputError(f"the exported graph's {value.name} has shape {shape}, expected {expected}")


def by_place(module: nn.Module, names: Iterable[str]) -> list[str]:
    """Those of the names that ``forward`` takes by their place alone."""
    parameters = signature(module.forward).parameters
    return [name for name in names if name in parameters and parameters[name].kind is Parameter.POSITIONAL_ONLY]


def _shape(value: ValueInfoProto) -> list[str | int]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]


def _drop_traces(proto: ModelProto) -> None:
    """Take out the exporter's notes: stack traces with the paths of this machine."""
    graph = proto.graph
    noted = (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer)
    for holder in noted:
        del holder.metadata_props[:]
        holder.doc_string = ""


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

"""From a float graph to one in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rankgrad._checks import InputError, require
from rankgrad.export.graph_files import atomic_graph, check_graph, read_graph, save_graph
from rankgrad.export.tools import quiet_tools, require_tool

if TYPE_CHECKING:
    from onnx import GraphProto

LARGEST = 1e4
"""What larger constants become: a mask of -10000 added to any score stays finite in half precision, and its
exponential is 0 all the same."""


def halve_onnx(source: str | Path, target: str | Path) -> None:
    """Write a copy of a graph that computes in float16; inputs and outputs keep their types.

    It is made for GPUs. On a CPU ONNX Runtime has half-precision kernels for few operators and casts around the others,
    so that it takes half the space and more time.

    A mask adds the lowest float32 to a score, which float16 does not have: it becomes -10000, which no score lifts back
    and which no sum of two overflows.

    Args:
        source: a graph that :func:`rankgrad.export.export_onnx` wrote.
        target: the file to write.

    Raises:
        InputError: for weights beyond 10000, which would be cut.
        MissingExtraError: without onnx or onnxruntime.

    Reference:
        Micikevicius et al., "Mixed Precision Training", ICLR 2018, on what half precision holds; the implementation is
        onnxruntime's ``convert_float_to_float16``.
    """
    float16 = require_tool("onnxruntime.transformers.float16")
    model = read_graph(source)
    _check_weights(model.graph)
    _infer_types(model.graph, source)
    with quiet_tools():
        halved = float16.convert_float_to_float16(
            model, max_finite_val=LARGEST, keep_io_types=True, disable_shape_infer=True
        )
    _sort_nodes(halved.graph)
    with atomic_graph(target) as temporary:
        save_graph(halved, temporary)
        check_graph(temporary)


def _infer_types(graph: GraphProto, source: str | Path) -> None:
    """Say of every value what it is; found without the weights that lie apart, which the inference cannot hold."""
    onnx = require("onnx", "onnx")
    inferred = onnx.shape_inference.infer_shapes(onnx.load(str(source), load_external_data=False))
    del graph.value_info[:]
    graph.value_info.extend(inferred.graph.value_info)


def _check_weights(graph: GraphProto) -> None:
    numpy_helper = require("onnx.numpy_helper", "onnx")
    for weight in graph.initializer:
        values = numpy_helper.to_array(weight)
        # A single number is a constant of the exporter's, such as a mask's lowest float.
        if values.dtype == np.float32 and values.size > 1 and np.abs(values).max() > LARGEST:
            raise InputError(
                f"{weight.name} holds {np.abs(values).max():.3g}, beyond the {LARGEST:.0f} that the fp16 graph keeps: "
                "leave out the variant fp16"
            )


def _sort_nodes(graph: GraphProto) -> None:
    """Put every node behind what it reads: the converter puts its casts last."""
    known = {"", *(value.name for value in graph.input), *(weight.name for weight in graph.initializer)}
    placed, waiting = [], list(graph.node)
    while waiting:
        ready = []
        for node in waiting:
            if known.issuperset(node.input):
                ready.append(node)
                known.update(node.output)
        if not ready:
            raise InputError(f"{waiting[0].op_type} reads what no node of the graph gives: export it again")
        placed += ready
        waiting = [node for node in waiting if not known.issuperset(node.output)]
    del graph.node[:]
    graph.node.extend(placed)

"""From a float graph to one with the fused operators of ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError, require
from rankgrad.export.graph_files import atomic_graph, read_graph, save_graph
from rankgrad.export.tools import quiet_tools, require_tool

if TYPE_CHECKING:
    from onnx import GraphProto

FUSED_DOMAIN = "com.microsoft"


def optimize_onnx(source: str | Path, target: str | Path) -> dict[str, int]:
    """Write a copy of a graph in which attention, GELU and normalisation with what precedes them are one operator each.

    Attention with its three projections becomes ``Attention``, the bias and GELU ``BiasGelu``, the residual sum and the
    normalisation ``SkipLayerNormalization``, all of them ONNX Runtime's own: no other runtime reads the graph. The
    fusions are onnxscript's, which know the graphs of torch's exporter; onnxruntime's own optimizer looks for the masks
    of older exporters, and leaves attention apart.

    Args:
        source: a graph that :func:`rankgrad.export.export_onnx` wrote.
        target: the file to write.

    Returns:
        how many operators of each type were fused.

    Raises:
        InputError: when nothing was fused: the copy would be the same graph.
        MissingExtraError: without onnx or onnxscript.

    Reference:
        Dao et al., "FlashAttention: Fast and Memory-Efficient Exact Attention with IO-Awareness", NeurIPS 2022, on why
        attention in one operator is faster on a GPU.
    """
    fusions = require_tool("onnxscript.rewriter.ort_fusions")
    ir = require("onnx_ir", "onnx")
    model = read_graph(source)
    before = fused_operators(model.graph)
    with quiet_tools():
        optimized, _ = fusions.optimize_for_ort(ir.from_proto(model))
    made = ir.to_proto(optimized)
    fused = {name: count - before[name] for name, count in fused_operators(made.graph).items() if count > before[name]}
    if not fused:
        raise InputError(
            f"{source}: no operator of this graph could be fused, the optimized graph would be the same one: leave out "
            "the variant optimized"
        )
    with atomic_graph(target) as temporary:
        save_graph(made, temporary)
    return dict(sorted(fused.items()))


def fused_operators(graph: GraphProto) -> Counter[str]:
    """How many operators of each type a graph has that are ONNX Runtime's own."""
    return Counter(node.op_type for node in graph.node if node.domain == FUSED_DOMAIN)

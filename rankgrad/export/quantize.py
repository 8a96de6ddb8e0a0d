"""From a float graph to an int8 graph whose activations are scaled at run time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rankgrad._checks import require
from rankgrad.export.graph_files import atomic_graph, exceeds_one_file, read_graph, save_graph

if TYPE_CHECKING:
    from onnx import GraphProto

PREPARED = ("onnx.quant.pre_process", "onnxruntime.quant")


def quantize_onnx(source: str | Path, target: str | Path) -> None:
    """Write a copy of a graph whose matrix multiplications use int8 weights and, at run time, 8-bit activations.

    Weights get a scale per output channel: on MiniLM that takes 40 % off the largest error of a score for 1 % of the
    time. They are signed: ONNX Runtime's signed kernels took two thirds of the time of its unsigned ones. Only
    multiplications of the sequence (``MatMul`` with a constant) are touched; a head on one vector a pair (``Gemm``)
    costs no time and is left exact, as are the embedding tables and small matrices, such as a projection.

    Activations are scaled over a whole run, padding included, so a score depends on the rows it is run with:
    ``rankgrad.deploy`` therefore runs one row at a time.

    Args:
        source: a graph that :func:`rankgrad.export.export_onnx` wrote.
        target: the file to write.

    Raises:
        MissingExtraError: without onnx or onnxruntime.

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
        CVPR 2018; the implementation is onnxruntime's ``quantize_dynamic``.
    """
    quantization = require("onnxruntime.quantization", "onnx")
    model = read_graph(source)
    # The exporter has inferred every shape already, and onnxruntime's symbolic inference fails on its graphs; without
    # this mark the quantizer recommends that inference on the root logger, and installs a handler there.
    model.metadata_props.add(key=PREPARED[0], value=PREPARED[1])
    with tool_output(target) as written:
        quantization.quantize_dynamic(
            model,
            str(written),
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=left_exact(model.graph),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
            use_external_data_format=exceeds_one_file(model.graph),
        )


@contextmanager
def tool_output(target: str | Path) -> Iterator[Path]:
    """Yield a path for a quantizer to write to, in whichever way, and write the target from what is there."""
    with TemporaryDirectory(prefix="rankgrad.") as folder:
        written = Path(folder) / "written.onnx"
        yield written
        with atomic_graph(target) as temporary:
            save_graph(read_graph(written), temporary)


def left_exact(graph: GraphProto) -> list[str]:
    """Names of the multiplications that stay in float: heads and small ones."""
    # The quantizer turns every Gemm into a MatMul of this name before it looks at the list.
    heads = [f"{node.name}_MatMul" for node in graph.node if node.op_type == "Gemm"]
    return heads + small_multiplications(graph)


def small_multiplications(graph: GraphProto) -> list[str]:
    """Names of the multiplications with a constant under a tenth of the size of the largest."""
    sizes = {weight.name: prod(weight.dims) for weight in graph.initializer}
    multiplied = {
        node.name: max(sizes.get(name, 0) for name in node.input) for node in graph.node if node.op_type == "MatMul"
    }
    largest = max(multiplied.values(), default=0)
    return [name for name, size in multiplied.items() if 0 < size * 10 < largest]

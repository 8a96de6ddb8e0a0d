"""Graphs of a few operators, small enough to say what must come of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: Mapping[str, np.ndarray],
    *,
    columns: int,
    out: str = "y",
    out_columns: int | None = None,
) -> Path:
    """A graph of one input ``x`` float32 ``[rows, columns]``."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", columns])],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, ["rows", out_columns or columns])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def product(path: Path, weight: np.ndarray) -> Path:
    """``y = x @ weight``."""
    node = helper.make_node("MatMul", ["x", "weight"], ["y"], "product")
    return save_graph(path, [node], {"weight": weight}, columns=weight.shape[0], out_columns=weight.shape[1])

"""The int8 graph: which weights are 8 bits wide, and in how far its scores depend on the batch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rankgrad import deploy
from rankgrad.export import quantize_onnx


def test_only_multiplications_are_quantized(tiny_bundle: Callable[[str], Path]) -> None:
    folder = tiny_bundle("mean") / "onnx"
    plain, small = (onnx.load(str(folder / name)).graph for name in ("model.onnx", "model_quantized.onnx"))
    weights = {each.name: each for each in plain.initializer}
    multiplied = [name for node in plain.node if node.op_type == "MatMul" for name in node.input if name in weights]
    eight_bit = [each for each in small.initializer if each.data_type == TensorProto.INT8 and len(each.dims) == 2]
    assert sorted(tuple(each.dims) for each in eight_bit) == sorted(tuple(weights[name].dims) for name in multiplied)
    scales = {each.name: each for each in small.initializer if each.name.endswith("_scale")}
    assert {len(each.dims) for each in scales.values()} == {1}, "a scale per output channel"
    assert [shape for each in plain.input for shape in each.type.tensor_type.shape.dim] == [
        shape for each in small.input for shape in each.type.tensor_type.shape.dim
    ]


def test_a_small_projection_stays_exact(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    shapes = {"large": (64, 64), "small": (64, 4)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "large"], ["y"], "a"),
            helper.make_node("MatMul", ["y", "small"], ["z"], "b"),
        ],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["rows", 4])],
        [
            numpy_helper.from_array(generator.normal(size=size).astype(np.float32), name)
            for name, size in shapes.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "a.onnx")
    quantize_onnx(tmp_path / "a.onnx", tmp_path / "b.onnx")
    kept = {each.name: each.data_type for each in onnx.load(str(tmp_path / "b.onnx")).graph.initializer}
    assert kept["small"] == TensorProto.FLOAT
    assert "large" not in kept


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
def test_batch_dependence_is_what_the_bundle_records(tiny_bundle: Callable[[str], Path], kind: str) -> None:
    folder = tiny_bundle(kind)
    parity = json.loads((folder / "rankgrad.json").read_text())["parity"]
    assert parity["fp32"]["batch_dependence"] < 1e-5 < parity["int8"]["batch_dependence"]
    texts = ["sort the values", "a date " * 20]
    model = deploy.load(folder, variant="int8", threads=1)
    if isinstance(model, deploy.CrossEncoder):
        alone, together = (model.score(["sort"] * 2, texts, batch_size=size) for size in (1, 2))
    else:
        alone, together = (model.encode_documents(texts, batch_size=size).embeddings for size in (1, 2))
    assert np.abs(alone - together).max() > 0

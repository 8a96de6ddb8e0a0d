"""4-bit weights: each block rounded to its own sixteen steps, and nothing else touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from rankgrad._checks import InputError
from rankgrad.export import quantize_weights_onnx

from .small_graphs import product, save_graph


def unpacked(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Of the one multiplication: weights ``[inputs, outputs]`` as the graph reads them, and the step of each."""
    model = onnx.load(str(path))
    node = next(node for node in model.graph.node if node.op_type == "MatMulNBits")
    size = {each.name: each.i for each in node.attribute}
    tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    packed, scales, zeros = (tensors[name] for name in node.input[1:4])
    codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(size["N"], -1, size["block_size"])
    points = np.stack([zeros & 15, zeros >> 4], axis=-1).reshape(size["N"], -1)[:, : codes.shape[1]]
    scales = scales.reshape(size["N"], -1)
    weights = (codes.astype(np.float32) - points[..., None]) * scales[..., None]
    steps = np.broadcast_to(scales[..., None], weights.shape)
    return tuple(each.reshape(size["N"], -1)[:, : size["K"]].T for each in (weights, steps))  # type: ignore[return-value]


@pytest.mark.parametrize(("inputs", "block_size"), [(64, 32), (48, 32), (64, 16)])
def test_weights_are_rounded_to_the_nearest_step_of_their_block(tmp_path: Path, inputs: int, block_size: int) -> None:
    weight = np.random.default_rng(0).normal(size=(inputs, 24)).astype(np.float32)
    quantize_weights_onnx(product(tmp_path / "a.onnx", weight), tmp_path / "b.onnx", block_size=block_size)
    got, steps = unpacked(tmp_path / "b.onnx")
    for start in range(0, inputs, block_size):
        block = weight[start : start + block_size]
        ends = np.maximum(block.max(axis=0), 0) - np.minimum(block.min(axis=0), 0)
        np.testing.assert_allclose(steps[start], ends / 15, rtol=1e-5)
    # The zero point is rounded too, so an end of the block may lie up to half a step outside.
    assert np.all(np.abs(got - weight) <= steps * 1.0001)
    assert np.mean(np.abs(got - weight) <= steps * 0.5001) > 0.95


def test_the_graph_computes_with_those_weights(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    weight = generator.normal(size=(64, 24)).astype(np.float32)
    quantize_weights_onnx(product(tmp_path / "a.onnx", weight), tmp_path / "b.onnx")
    x = generator.normal(size=(5, 64)).astype(np.float32)
    got = onnxruntime.InferenceSession(str(tmp_path / "b.onnx")).run(None, {"x": x})[0]
    weights, _ = unpacked(tmp_path / "b.onnx")
    # Activations are rounded to 8 bits a block: 1/254 of its largest, so of a sum of 64 such products.
    bound = np.abs(x).max() / 254 * np.abs(weights).sum(axis=0).max()
    np.testing.assert_allclose(got, x @ weights, atol=bound, rtol=0)
    assert np.abs(got - x @ weight).max() > 0


def test_small_matrices_and_other_operators_stay(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    nodes = [
        helper.make_node("MatMul", ["x", "large"], ["h"], "a"),
        helper.make_node("MatMul", ["h", "small"], ["z"], "b"),
        helper.make_node("Add", ["z", "bias"], ["y"], "c"),
    ]
    weights = {"large": generator.normal(size=(64, 64)), "small": generator.normal(size=(64, 4)), "bias": np.ones(4)}
    quantize_weights_onnx(
        save_graph(tmp_path / "a.onnx", nodes, weights, columns=64, out_columns=4), tmp_path / "b.onnx"
    )
    assert [node.op_type for node in onnx.load(str(tmp_path / "b.onnx")).graph.node] == ["MatMulNBits", "MatMul", "Add"]


def test_what_cannot_be_quantised(tmp_path: Path) -> None:
    path = save_graph(tmp_path / "a.onnx", [helper.make_node("Relu", ["x"], ["y"])], {}, columns=8)
    with pytest.raises(InputError, match="no multiplication with a constant matrix"):
        quantize_weights_onnx(path, tmp_path / "b.onnx")
    with pytest.raises(InputError, match="block_size=24: pass a power of 2"):
        quantize_weights_onnx(path, tmp_path / "b.onnx", block_size=24)
    assert [each.name for each in tmp_path.iterdir()] == ["a.onnx"]

"""Half precision: masks stay finite, weights beyond its range are refused, inputs and outputs keep their types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from rankgrad._checks import InputError
from rankgrad.export import halve_onnx

from .small_graphs import product, save_graph


@pytest.mark.parametrize("lowest", [np.finfo(np.float32).min, -np.inf])
def test_a_mask_excludes_and_never_makes_nan(tmp_path: Path, lowest: float) -> None:
    # softmax(x + (x < 0 ? lowest : 0)): as attention masks do it. Two masks in one sum would overflow float16.
    nodes = [
        helper.make_node("Less", ["x", "zero"], ["masked"]),
        helper.make_node("Where", ["masked", "lowest", "zero"], ["mask"]),
        helper.make_node("Add", ["x", "mask"], ["once"]),
        helper.make_node("Add", ["once", "mask"], ["twice"]),
        helper.make_node("Softmax", ["twice"], ["y"], axis=-1),
    ]
    constants = {"zero": np.zeros(()), "lowest": np.float32(lowest)}
    halve_onnx(save_graph(tmp_path / "a.onnx", nodes, constants, columns=3), tmp_path / "b.onnx")
    x = np.array([[-50.0, 1.0, 2.0], [3.0, -0.001, -9.0]], dtype=np.float32)
    got = onnxruntime.InferenceSession(str(tmp_path / "b.onnx")).run(None, {"x": x})[0]
    first = 1 / (1 + np.exp(1))
    np.testing.assert_allclose(got, [[0.0, first, 1 - first], [1.0, 0.0, 0.0]], atol=2**-11)


def test_only_the_inside_is_half(tiny_bundle: Callable[[str], Path], tmp_path: Path) -> None:
    halve_onnx(tiny_bundle("mean") / "onnx" / "model.onnx", tmp_path / "half.onnx")
    graph = onnx.load(str(tmp_path / "half.onnx")).graph
    assert {each.type.tensor_type.elem_type for each in graph.input} == {TensorProto.INT64}
    assert [each.type.tensor_type.elem_type for each in graph.output] == [TensorProto.FLOAT]
    large = [each for each in graph.initializer if len(each.dims) == 2]
    assert large
    assert {each.data_type for each in large} == {TensorProto.FLOAT16}
    constants = [numpy_helper.to_array(each) for each in graph.initializer if each.data_type == TensorProto.FLOAT16]
    assert min(float(each.min()) for each in constants if each.size) == -10000.0


def test_weights_that_would_be_cut_are_refused(tmp_path: Path) -> None:
    weight = np.eye(4)
    weight[2, 1] = -20000.0
    with pytest.raises(InputError, match=r"weight holds 2e\+04, beyond the 10000"):
        halve_onnx(product(tmp_path / "a.onnx", weight), tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()

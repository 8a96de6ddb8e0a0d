"""Static int8: ranges come from the runs, outliers keep a multiplication in float, and rows do not see each other."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from rankgrad._checks import InputError
from rankgrad.export import quantize_static_onnx

from .small_graphs import product


class Rows(NamedTuple):
    """A run of the small graph."""

    x: np.ndarray


def normal(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, 32)).astype(np.float32)


WEIGHT = np.random.default_rng(1).normal(size=(32, 16)).astype(np.float32)


def test_the_ends_of_the_runs_are_the_ends_of_the_steps(tmp_path: Path) -> None:
    first, second = normal(4), normal(4, seed=2)
    first[0, 0], second[1, 1] = -6.0, 4.2
    quantize_static_onnx(product(tmp_path / "a.onnx", WEIGHT), tmp_path / "b.onnx", [Rows(first), Rows(second)])
    model = onnx.load(str(tmp_path / "b.onnx"))
    tensors = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    scale = (4.2 + 6.0) / 255
    assert float(tensors["x_scale"]) == pytest.approx(scale)
    assert int(tensors["x_zero_point"]) == round(6.0 / scale)
    assert tensors["weight_scale"].shape == (16,), "a scale per output channel"
    np.testing.assert_allclose(tensors["weight_scale"], np.abs(WEIGHT).max(axis=0) / 127, rtol=1e-5)
    x = normal(7, seed=3)
    session = onnxruntime.InferenceSession(str(tmp_path / "b.onnx"))
    together = session.run(None, {"x": x})[0]
    # Both factors are rounded, each by half a step at most.
    bound = scale / 2 * np.abs(WEIGHT).sum(axis=0) + tensors["weight_scale"] / 2 * np.abs(x).sum(axis=1).max()
    assert np.all(np.abs(together - x @ WEIGHT) <= bound * 1.01)
    alone = np.concatenate([session.run(None, {"x": x[[row]]})[0] for row in range(len(x))])
    np.testing.assert_allclose(alone, together, atol=1e-5)


def test_an_outlier_leaves_the_multiplication_in_float(tmp_path: Path) -> None:
    source = product(tmp_path / "a.onnx", WEIGHT)
    run = normal(4)
    run[0, 0] = 400.0
    # 1/255 of the range, over the root mean square of the 128 values.
    relative = (400.0 - run.min()) / 255 / np.sqrt(np.mean(np.square(run, dtype=np.float64)))
    assert relative < 0.25
    quantize_static_onnx(source, tmp_path / "b.onnx", [Rows(run)], coarsest=relative * 1.01)
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(str(tmp_path / "b.onnx")).graph.node}
    with pytest.raises(InputError, match="every multiplication has outliers beyond"):
        quantize_static_onnx(source, tmp_path / "c.onnx", [Rows(run)], coarsest=relative * 0.99)


def test_runs_that_cannot_be_used(tmp_path: Path) -> None:
    class Other(NamedTuple):
        ids: np.ndarray

    source = product(tmp_path / "a.onnx", WEIGHT)
    with pytest.raises(InputError, match="give at least one"):
        quantize_static_onnx(source, tmp_path / "b.onnx", [])
    with pytest.raises(InputError, match="they have no field 'x'"):
        quantize_static_onnx(source, tmp_path / "b.onnx", [Other(normal(1))])

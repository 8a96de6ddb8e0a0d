"""The optimized graph: fused operators are counted, and a graph in which nothing fuses is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export import optimize_onnx
from rankgrad.export.optimize import fused_operators
from rankgrad.export.parity import check_shapes

from .small_graphs import product

LAYERS = 2


@pytest.mark.parametrize(("kind", "norms"), [("mean", 2 * LAYERS + 1), ("colbert", 2 * LAYERS)])
def test_every_layer_is_fused(
    tiny_bundle: Callable[[str], Path], tiny_ranker: Callable[[str], Any], tmp_path: Path, kind: str, norms: int
) -> None:
    source = tiny_bundle(kind) / "onnx" / "model.onnx"
    fused = optimize_onnx(source, tmp_path / "fused.onnx")
    # Of a cross-encoder the first sum of embeddings fuses with its normalisation too.
    assert fused == {"Attention": LAYERS, "BiasGelu": LAYERS, "SkipLayerNormalization": norms}
    plain, made = (onnx.load(str(path)).graph for path in (source, tmp_path / "fused.onnx"))
    assert (fused_operators(plain), fused_operators(made)) == ({}, fused)
    assert "Softmax" in {node.op_type for node in plain.node} - {node.op_type for node in made.node}
    assert [each.name for each in plain.input] == [each.name for each in made.input]
    assert [each.name for each in plain.output] == [each.name for each in made.output]
    found = check_shapes(tiny_ranker(kind), deploy.Graph(tmp_path / "fused.onnx", threads=1), tolerance=1e-5)
    assert len(found) >= 6


def test_a_graph_in_which_nothing_fuses_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a.onnx: no operator of this graph could be fused"):
        optimize_onnx(product(tmp_path / "a.onnx", np.eye(8)), tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()

"""Faults that exports of text models have had are found by the parity check."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from rankgrad import deploy
from rankgrad.export import ParityError, export_bundle
from rankgrad.export.parity import check_shapes

from .graph_faults import drop_last, drop_mask, with_fault

FAULTS: dict[str, Any] = {
    "mask dropped": lambda graph: drop_mask(graph, "attention_mask"),
    "end of the head missing": drop_last,
}


@pytest.mark.parametrize("kind", ["cls", "mean", "interaction", "colbert"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(
    tiny_ranker: Callable[[str], Any], tiny_bundle: Callable[[str], Path], tmp_path: Path, kind: str, fault: str
) -> None:
    # The bound of a real export, though random weights give scores far below 1, of which it is a larger part.
    tolerance = signature(export_bundle).parameters["tolerance"].default
    right = tiny_bundle(kind) / "onnx" / "model.onnx"
    check_shapes(tiny_ranker(kind), deploy.Graph(right, threads=1), tolerance=tolerance)
    wrong = with_fault(right, tmp_path / "wrong.onnx", FAULTS[fault])
    with pytest.raises(ParityError, match=r"disagrees with torch at Shape\("):
        check_shapes(tiny_ranker(kind), deploy.Graph(wrong, threads=1), tolerance=tolerance)

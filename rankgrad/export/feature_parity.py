"""Does a feature ranker's graph, or that of a cascade of them, say what the model says?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from rankgrad import deploy
from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.export.cascade_probe import cascade_difference, cascade_probes, settled_rows
from rankgrad.export.feature_probe import SHAPES, FeatureModel, ListShape, random_rows
from rankgrad.export.parity import ParityError, relative_difference
from rankgrad.pipeline import FeatureCascade


class ListParity(NamedTuple):
    """How far a graph is from torch on one shape, relative to the largest score (but at least 1)."""

    shape: ListShape
    difference: float


def check_lists(model: FeatureModel, graph: deploy.Graph, *, tolerance: float) -> list[ListParity]:
    """Compare a graph with torch on random lists of several shapes.

    Of a cascade the order of each list is compared too, on lists shorter and longer than its cut-offs.

    Args:
        model: on the CPU, in float32 and eval mode.
        graph: the exported graph.
        tolerance: largest difference allowed, relative to the largest score (but at least 1).

    Raises:
        ParityError: naming the first shape that disagrees.
        InputError: for a cascade whose stages tell too few items apart.
    """
    found = []
    for shape, rows in _probes(model, tolerance):
        expected, got = torch_scores(model, rows), graph(rows)
        difference = _difference(model, rows, expected, got)
        if not difference <= tolerance:
            raise ParityError(
                f"the exported graph disagrees with torch at {shape}: scores {expected.shape} and {got.shape}, "
                f"relative difference {difference:.2g}{_why(model, difference)}, tolerance {tolerance:.2g}; nothing is "
                "written"
            )
        found.append(ListParity(shape, difference))
    return found


def check_ragged(model: FeatureModel, exported: deploy.FeatureRanker, *, tolerance: float) -> float:
    """Compare lists of different lengths, scored as the artifact will be used: the largest relative difference.

    Raises:
        ParityError: when it exceeds the tolerance.
    """
    batches = [random_rows(model, ListShape(1, items), seed=items) for items in (3, 40, 1, 17, 3)]
    if isinstance(model, FeatureCascade):
        batches = [_without_masked(settled_rows(model, rows, tolerance=tolerance)) for rows in batches]
    found = exported.score([rows.features[0] for rows in batches])
    difference = max(
        _difference(model, rows, torch_scores(model, rows), got[None]) for rows, got in zip(batches, found, strict=True)
    )
    if not difference <= tolerance:
        raise ParityError(
            f"the bundle's scores of lists of different lengths disagree with torch: relative difference "
            f"{difference:.2g}{_why(model, difference)}, tolerance {tolerance:.2g}; nothing is written"
        )
    return difference


def torch_scores(model: FeatureModel, rows: PaddedRows) -> np.ndarray:
    """What torch gives for the inputs of the graph."""
    with torch.inference_mode():
        return model.forward_lists(*(torch.from_numpy(field) for field in rows)).numpy()


def _probes(model: FeatureModel, tolerance: float) -> list[tuple[ListShape, PaddedRows]]:
    if isinstance(model, FeatureCascade):
        return cascade_probes(model, tolerance=tolerance)
    return [(shape, random_rows(model, shape, seed=seed)) for seed, shape in enumerate(SHAPES)]


def _difference(model: FeatureModel, rows: PaddedRows, expected: np.ndarray, got: np.ndarray) -> float:
    if isinstance(model, FeatureCascade):
        return cascade_difference(model, rows, expected, got)
    return relative_difference(expected, got)


def _why(model: FeatureModel, difference: float) -> str:
    endless = isinstance(model, FeatureCascade) and difference == float("inf")
    return " (a list's items in another order, or a score that is no number)" if endless else ""


def _without_masked(rows: PaddedRows) -> PaddedRows:
    """One list without its masked items."""
    kept = rows.features[:, rows.mask[0]]
    return PaddedRows(kept, np.ones(kept.shape[:2], dtype=bool))

"""Does a feature ranker's graph say what the model says?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from rankgrad import deploy
from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.export.feature_probe import SHAPES, ListShape, random_rows
from rankgrad.export.parity import ParityError, relative_difference
from rankgrad.models import FeatureRanker


class ListParity(NamedTuple):
    """How far a graph is from torch on one shape, relative to the largest score (but at least 1)."""

    shape: ListShape
    difference: float


def check_lists(model: FeatureRanker, graph: deploy.Graph, *, tolerance: float) -> list[ListParity]:
    """Compare a graph with torch on random lists of several shapes.

    Args:
        model: on the CPU, in float32 and eval mode.
        graph: the exported graph.
        tolerance: largest difference allowed, relative to the largest score (but at least 1).

    Raises:
        ParityError: naming the first shape that disagrees.
    """
    found = []
    for seed, shape in enumerate(SHAPES):
        rows = random_rows(model, shape, seed=seed)
        expected, got = torch_scores(model, rows), graph(rows)
        difference = relative_difference(expected, got)
        if not difference <= tolerance:
            raise ParityError(
                f"the exported graph disagrees with torch at {shape}: scores {expected.shape} and {got.shape}, "
                f"relative difference {difference:.2g}, tolerance {tolerance:.2g}; nothing is written"
            )
        found.append(ListParity(shape, difference))
    return found


def check_ragged(model: FeatureRanker, exported: deploy.FeatureRanker, *, tolerance: float) -> float:
    """Compare lists of different lengths, scored as the artifact will be used: the largest relative difference.

    Raises:
        ParityError: when it exceeds the tolerance.
    """
    lists = [random_rows(model, ListShape(1, items), seed=items).features[0] for items in (3, 40, 1, 17, 3)]
    whole = [np.ones((1, len(rows)), dtype=bool) for rows in lists]
    expected = [torch_scores(model, PaddedRows(rows[None], real))[0] for rows, real in zip(lists, whole, strict=True)]
    difference = relative_difference(np.concatenate(expected), np.concatenate(exported.score(lists)))
    if not difference <= tolerance:
        raise ParityError(
            f"the bundle's scores of lists of different lengths disagree with torch: relative difference "
            f"{difference:.2g}, tolerance {tolerance:.2g}; nothing is written"
        )
    return difference


def torch_scores(model: FeatureRanker, rows: PaddedRows) -> np.ndarray:
    """What torch gives for the inputs of the graph."""
    with torch.inference_mode():
        return model.forward_lists(*(torch.from_numpy(field) for field in rows)).numpy()

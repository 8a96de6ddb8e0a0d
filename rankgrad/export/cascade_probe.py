"""What a cascade's graph is compared on: lists around its cut-offs, in which no order hangs on rounding."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.export.feature_probe import SHAPES, ListShape, random_rows
from rankgrad.pipeline import FeatureCascade


def cascade_probes(model: FeatureCascade, *, tolerance: float) -> list[tuple[ListShape, PaddedRows]]:
    """Random lists with masked items anywhere: the usual shapes, and some just below, at and above each cut-off.

    Args:
        model: on the CPU, in float32 and eval mode.
        tolerance: of scores; see :func:`settled_rows`.

    Raises:
        InputError: where no list is left longer than the first cut-off: a stage that gives everything the same score.
    """
    shapes = list(SHAPES)
    for k in model.cascade.hard_cutoffs:
        shapes += [ListShape(2, k, padding=k // 2), ListShape(2, k + 1, padding=1), ListShape(2, 2 * k + 9, padding=k)]
    found = []
    for seed, shape in enumerate(dict.fromkeys(shapes)):
        found.append((shape, settled_rows(model, random_rows(model, shape, seed=seed), tolerance=tolerance)))
    longest = max(int(rows.mask.sum(axis=1).max()) for _, rows in found)
    first = model.cascade.hard_cutoffs[0]
    if longest <= first:
        raise InputError(
            f"model: its stages tell apart no more than {longest} items of any random list and the first hands on "
            f"{first}, so nothing shows whether a graph cuts there: train the stages, or lower the cut-off"
        )
    return found


def settled_rows(model: FeatureCascade, rows: PaddedRows, *, tolerance: float) -> PaddedRows:
    """The same lists without items that a stage scores within twice the tolerance of another one.

    Which of two such items is handed on, a rounding decides, and torch itself may decide otherwise on another machine.
    """
    mask = torch.from_numpy(rows.mask)
    for scores in stage_scores(model, rows):
        bound = 2 * tolerance * scores.abs().amax().clamp(min=1.0)
        ordered, order = scores.masked_fill(~mask, torch.inf).sort(dim=1)
        near = torch.zeros_like(mask).scatter(1, order[:, 1:], ordered.diff(dim=1) <= bound)
        mask = mask & ~near
    return PaddedRows(rows.features, mask.numpy())


@torch.inference_mode()
def stage_scores(model: FeatureCascade, rows: PaddedRows) -> list[Tensor]:
    """What each stage says of every item, ``[lists, items]`` each; 0 where masked."""
    features, mask = (torch.from_numpy(field) for field in rows)
    return [
        ranker.forward_lists(features if columns is None else features[..., columns], mask)
        for columns, ranker in model.rankers()
    ]


def cascade_difference(model: FeatureCascade, rows: PaddedRows, expected: np.ndarray, got: np.ndarray) -> float:
    """Largest difference, each over the largest score of any stage, the score itself, and 1.

    The steps that what was dropped falls in reach far below the scores, and must not make a difference of these look
    small. Infinite where the shapes differ, where one is not finite, or where the real items of a list are in another
    order.
    """
    if expected.shape != got.shape or not np.isfinite(got).all():
        return float("inf")
    one, other = (np.where(rows.mask, -scores, np.inf).argsort(axis=1, kind="stable") for scores in (expected, got))
    if not np.array_equal(one, other):
        return float("inf")
    largest = max(float(scores.abs().max()) for scores in stage_scores(model, rows))
    return float((np.abs(expected - got) / np.maximum(np.abs(expected), max(largest, 1.0))).max())

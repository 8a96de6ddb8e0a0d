"""Lists of rows whose utility is known: so the best order is, and how much of it noise hides."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rankgrad.data import FeatureTable

_FEATURES = 24
_NOISE = 0.5
# Shares of rows whose grade is below 1, 2, 3 and 4.
_SHARES = (0.5, 0.75, 0.9, 0.97)


def generated(queries: int, *, items: int = 20, seed: int = 0) -> tuple[FeatureTable, Tensor]:
    """Rows, and the utility of each: what its label would be drawn from without noise.

    Of 24 features, normal within a query around a mean of its own, ten matter: products, a wave, a step and a switch of
    them (what a tree takes many splits for, and what a network does not draw sharply), two alone. Half are then
    stretched to the long tails of counts, and two rounded. The label is how many of four thresholds, the same for all
    queries, utility with noise is above: 0 to 4.

    Args:
        queries: how many.
        items: the most of a list; the least are half of it.
        seed: of everything.

    Shape:
        utility ``[rows]``.
    """
    draw = np.random.default_rng(seed)
    counts = draw.integers(items // 2, items + 1, queries)
    rows = int(counts.sum())
    centres = 0.5 * draw.standard_normal((queries, _FEATURES))
    x = draw.standard_normal((rows, _FEATURES)) + np.repeat(centres, counts, axis=0)
    utility = _utility(x)
    noisy = utility + _NOISE * draw.standard_normal(rows)
    labels = np.searchsorted(np.quantile(noisy, _SHARES), noisy)
    shown = x.copy()
    shown[:, ::2] = np.exp(1.5 * x[:, ::2])
    shown[:, 4:6] = shown[:, 4:6].round()
    table = FeatureTable(
        torch.from_numpy(shown.astype(np.float32)),
        torch.from_numpy(labels.astype(np.float32)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(counts)])),
        tuple(str(number) for number in range(1, queries + 1)),
    )
    return table, torch.from_numpy(utility.astype(np.float32))


def _utility(x: np.ndarray) -> np.ndarray:
    return (
        x[:, 0] * x[:, 1]
        + 0.8 * np.sin(2 * x[:, 2])
        + 1.2 * (x[:, 3] > 0.5)
        + np.where(x[:, 6] > 0, x[:, 7], -x[:, 7])
        + 0.6 * np.minimum(x[:, 8], x[:, 9])
        + 0.5 * x[:, 4]
        - 0.4 * np.abs(x[:, 5])
    )

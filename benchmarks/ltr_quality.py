"""nDCG of flat scores, the same for all systems, and the intervals of its means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad.data import FeatureTable
from rankgrad.metrics import LIGHTGBM, ndcg

CUTS = (1, 5, 10)
_RESAMPLES = 2000


class Estimate(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Judged:
    """The labels of a table as padded lists."""

    labels: Tensor
    mask: Tensor

    @classmethod
    def of(cls, table: FeatureTable) -> Judged:
        counts = table.cu_seqlens.diff()
        mask = torch.arange(int(counts.max())) < counts.unsqueeze(1)
        return cls(torch.zeros(mask.shape).masked_scatter(mask, table.labels), mask)

    def values(self, scores: Tensor, k: int) -> Tensor:
        """nDCG@k of each query with LightGBM's conventions: gain 2^y - 1, ties by position, 1 for nothing to find.

        Shape:
            scores ``[rows]`` -> ``[queries]``.
        """
        lists = torch.zeros(self.mask.shape).masked_scatter(self.mask, scores.float())
        return ndcg(lists, self.labels, self.mask, k=k, **LIGHTGBM.graded)

    def mean(self, scores: Tensor, k: int = 10) -> float:
        """The mean over the queries."""
        return float(self.values(scores, k).double().mean())


def estimate(values: Tensor) -> Estimate:
    """The mean of all values, with the 2.5th and 97.5th percentile of its bootstrap over seeds and queries, both drawn.

    The draws are the same in each call: the interval of a difference is that of paired systems.

    Shape:
        values ``[seeds, queries]``.

    Example:
        >>> estimate(torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
        Estimate(low=0.5, mean=0.5, high=0.5)
    """
    table = values.double().numpy()
    draw = np.random.default_rng(0)
    # How often each seed and each query is drawn.
    seeds, queries = (draw.multinomial(count, np.full(count, 1 / count), _RESAMPLES) / count for count in table.shape)
    means = ((seeds @ table) * queries).sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    mean = float(table.mean())
    return Estimate(min(float(low), mean), mean, max(float(high), mean))

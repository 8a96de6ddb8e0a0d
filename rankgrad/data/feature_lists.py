"""Batches of lists of feature rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data.letor import FeatureTable


class FeatureLists(NamedTuple):
    """Padded lists of feature rows: what a :class:`rankgrad.models.FeatureRanker` scores.

    Shape:
        features: float32 ``[queries, items, features]``, 0 where masked.
        mask: bool ``[queries, items]``, True = a real item.
    """

    features: Tensor
    mask: Tensor


class FeatureBatch(NamedTuple):
    """Lists and what a loss judges them by, with the fields of :class:`rankgrad.data.ListBatch`."""

    features: FeatureLists
    labels: Tensor
    mask: Tensor
    teacher_scores: Tensor | None = None
    judged: Tensor | None = None


@dataclass(frozen=True)
class TableLists:
    """The queries of a table as lists, the same in each epoch, by the keys of :class:`rankgrad.data.EpochLoader`.

    Args:
        table: rows and their queries.
        queries: which of them; None = all.
        longest: a longer list gives so many of its items, drawn by (seed, epoch, index); None = whole lists.
        seed: of the choice.
    """

    table: FeatureTable
    queries: Sequence[int] | None = None
    longest: int | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.table.queries) if self.queries is None else len(self.queries)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, Tensor]:
        epoch, index = key
        query = index if self.queries is None else self.queries[index]
        first, end = self.table.cu_seqlens[query : query + 2].tolist()
        if self.longest is None or end - first <= self.longest:
            return self.table.features[first:end], self.table.labels[first:end]
        generator = np.random.default_rng([self.seed, epoch, index])
        rows = torch.from_numpy(np.sort(generator.choice(end - first, self.longest, replace=False))) + first
        return self.table.features[rows], self.table.labels[rows]


def collate_features(lists: Sequence[tuple[Tensor, Tensor]]) -> FeatureBatch:
    """Pad lists of ``(features [items, features], labels [items])`` to the longest.

    Example:
        >>> batch = collate_features([(torch.ones(2, 3), torch.ones(2)), (torch.ones(1, 3), torch.zeros(1))])
        >>> batch.features.features.shape, batch.mask.tolist()
        (torch.Size([2, 2, 3]), [[True, True], [True, False]])
    """
    if not lists:
        raise InputError("lists: expected at least one")
    pad = torch.nn.utils.rnn.pad_sequence
    features = pad([rows for rows, _ in lists], batch_first=True)
    labels = pad([grades for _, grades in lists], batch_first=True)
    lengths = torch.tensor([len(grades) for _, grades in lists])
    mask = torch.arange(labels.shape[1]) < lengths.unsqueeze(1)
    return FeatureBatch(FeatureLists(features, mask), labels, mask)

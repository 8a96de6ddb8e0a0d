"""Sparse vectors in numpy, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class SparseRows(NamedTuple):
    """Rows of which only what is not 0 is held, packed end to end.

    Shape:
        indices: int64 ``[total]``, rising in each row.
        values: float32 ``[total]``.
        cu_seqlens: int64 ``[rows + 1]``: row r is ``[cu_seqlens[r], cu_seqlens[r + 1])``.

    Example:
        >>> rows = SparseRows.of(np.array([[0, 2, 1], [3, 0, 0], [0, 0, 0]], dtype=np.float32))
        >>> rows.indices.tolist(), rows.values.tolist(), rows.cu_seqlens.tolist()
        ([1, 2, 0], [2.0, 1.0, 3.0], [0, 2, 3, 3])
        >>> rows.dots(np.ones((1, 3), dtype=np.float32)).tolist()
        [[3.0, 3.0, 0.0]]
    """

    indices: np.ndarray
    values: np.ndarray
    cu_seqlens: np.ndarray

    @classmethod
    def of(cls, dense: np.ndarray) -> SparseRows:
        """What is not 0 in ``[rows, width]``."""
        rows, indices = np.nonzero(dense)
        counts = np.bincount(rows, minlength=len(dense))
        return cls(indices.astype(np.int64), dense[rows, indices], np.concatenate([[0], counts.cumsum()]))

    @classmethod
    def joined(cls, rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> SparseRows:
        """Rows of (indices, values), one behind the other."""
        ends = np.concatenate([[0], np.cumsum([len(indices) for indices, _ in rows])]).astype(np.int64)
        indices, values = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        return cls(indices, values, ends)

    def split(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The indices and the values of each row."""
        inner = self.cu_seqlens[1:-1]
        return list(zip(np.split(self.indices, inner), np.split(self.values, inner), strict=True))

    def dense(self, width: int) -> np.ndarray:
        """All of it: float32 ``[rows, width]``."""
        counts = np.diff(self.cu_seqlens)
        full = np.zeros((len(counts), width), dtype=np.float32)
        full[np.repeat(np.arange(len(counts)), counts), self.indices] = self.values
        return full

    def dots(self, dense: np.ndarray) -> np.ndarray:
        """Dot products with ``[others, width]``: float32 ``[others, rows]``."""
        filled = np.flatnonzero(np.diff(self.cu_seqlens))
        found = np.zeros((len(dense), len(self.cu_seqlens) - 1), dtype=np.float32)
        if len(filled):
            terms = dense[:, self.indices] * self.values
            found[:, filled] = np.add.reduceat(terms, self.cu_seqlens[filled], axis=1)
        return found


def largest(dense: np.ndarray, k: int | None) -> np.ndarray:
    """Each row with all but its k largest values set to 0, of equal ones the first kept; None = as it is.

    Example:
        >>> largest(np.array([[3.0, 1.0, 2.0]]), 2).tolist()
        [[3.0, 0.0, 2.0]]
    """
    if k is None or k >= dense.shape[-1]:
        return dense
    # Not sorted: of rows that are not mostly zeros a sort takes six times as long.
    least = -np.partition(-dense, k - 1, axis=-1)[:, k - 1 : k]
    kept = dense >= least
    for row in np.flatnonzero(kept.sum(axis=-1) > k):
        equal = np.flatnonzero(dense[row] == least[row])
        kept[row, equal[k - kept[row].sum() :]] = False
    return np.where(kept, dense, 0)

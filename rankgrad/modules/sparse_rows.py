"""Sparse vectors, end to end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class SparseRows(NamedTuple):
    """Rows of which only what is not 0 is held, packed end to end.

    Shape:
        indices: int64 ``[total]``, rising in each row.
        values: float32 ``[total]``.
        cu_seqlens: int64 ``[rows + 1]``: row r is ``[cu_seqlens[r], cu_seqlens[r + 1])``.

    Example:
        >>> rows = SparseRows.of(torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]))
        >>> rows.indices.tolist(), rows.values.tolist(), rows.cu_seqlens.tolist()
        ([1, 2, 0], [2.0, 1.0, 3.0], [0, 2, 3])
        >>> rows.dots(torch.tensor([[1.0, 1.0, 1.0]]))
        tensor([[3., 3.]])
    """

    indices: Tensor
    values: Tensor
    cu_seqlens: Tensor

    @classmethod
    def of(cls, dense: Tensor) -> SparseRows:
        """What is not 0 in ``[rows, width]``."""
        rows, indices = dense.nonzero(as_tuple=True)
        counts = torch.bincount(rows, minlength=len(dense))
        return cls(indices, dense[rows, indices], pad(counts.cumsum(0), (1, 0)))

    @classmethod
    def joined(cls, parts: Sequence[SparseRows], order: Tensor) -> SparseRows:
        """The rows of all parts, put in an order: row ``order[i]``, counted through the parts, comes i-th."""
        rows = [pair for part in parts for pair in zip(*part.split(), strict=True)]
        chosen = [rows[place] for place in order.tolist()]
        counts = torch.tensor([len(indices) for indices, _ in chosen], device=parts[0].indices.device)
        ends = pad(counts.cumsum(0), (1, 0))
        return cls(torch.cat([indices for indices, _ in chosen]), torch.cat([values for _, values in chosen]), ends)

    @property
    def counts(self) -> Tensor:
        """How many values each row has, int64 ``[rows]``."""
        return self.cu_seqlens.diff()

    def split(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The indices and the values of each row."""
        counts = self.counts.tolist()
        return self.indices.split(counts), self.values.split(counts)

    def dense(self, width: int) -> Tensor:
        """All of it: ``[rows, width]``."""
        full = self.values.new_zeros(len(self.cu_seqlens) - 1, width)
        full[self._rows(), self.indices] = self.values
        return full

    def dots(self, dense: Tensor) -> Tensor:
        """Dot products with ``[others, width]``: ``[others, rows]``."""
        terms = dense[:, self.indices] * self.values
        return dense.new_zeros(len(dense), len(self.cu_seqlens) - 1).index_add_(1, self._rows(), terms)

    def _rows(self) -> Tensor:
        rows = torch.arange(len(self.cu_seqlens) - 1, device=self.indices.device)
        return rows.repeat_interleave(self.counts)


def largest(dense: Tensor, k: int | None) -> Tensor:
    """Each row with all but its k largest values set to 0; None = as it is.

    Example:
        >>> largest(torch.tensor([[3.0, 1.0, 2.0]]), 2)
        tensor([[3., 0., 2.]])
    """
    if k is None or k >= dense.shape[-1]:
        return dense
    kept = dense.topk(k, dim=-1)
    return torch.zeros_like(dense).scatter(-1, kept.indices, kept.values)

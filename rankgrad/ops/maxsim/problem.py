"""One MaxSim as rows: what every implementation takes."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulation_dtype


class Problem(NamedTuple):
    """Operands flattened to rows, and where each query and document lies among them.

    Query ``q`` owns the rows ``query_offsets[q]:query_offsets[q + 1]`` or, without offsets, ``query_tokens`` rows from
    ``q * query_tokens``; documents likewise. ``own``: query ``q`` meets documents ``q * candidates`` to
    ``(q + 1) * candidates - 1``; otherwise every query meets all ``candidates`` documents.

    Shape:
        - queries ``[query_rows, dim]``, query_mask and query_weights ``[query_rows]``
        - documents ``[document_rows, dim]``, document_mask ``[document_rows]``
        - query_offsets ``[query_count + 1]``, document_offsets ``[documents + 1]``, int32

    ``query_tokens`` bounds a query's rows from above where they are packed. ``temperature`` 0 is the hard maximum.
    """

    queries: Tensor
    documents: Tensor
    query_mask: Tensor | None
    document_mask: Tensor | None
    query_weights: Tensor | None
    query_offsets: Tensor | None
    document_offsets: Tensor | None
    query_count: int
    query_tokens: int
    candidates: int
    document_tokens: int
    own: bool
    temperature: float
    top_k: int
    tf32: bool

    @property
    def document_count(self) -> int:
        """All documents, those of every query where they have their own."""
        return self.query_count * self.candidates if self.own else self.candidates

    @property
    def dtype(self) -> torch.dtype:
        """What sums are held in: float32, or float64 where an operand is."""
        return accumulation_dtype(queries=self.queries, documents=self.documents)

    @property
    def residual_shape(self) -> tuple[int, int, int]:
        """``[top_k, candidates, query_rows]``: what the backward pass needs of the forward pass."""
        return (self.top_k, self.candidates, self.queries.shape[0])

    @property
    def residual_dtype(self) -> torch.dtype:
        """int32 places in the document for maxima (-1 = none), values for soft maxima (``-inf`` = none)."""
        return self.dtype if self.temperature else torch.int32

    def row_scale(self) -> Tensor | None:
        """Each query row's factor ``[query_rows]``: its weight, 0 where masked or nobody's; None when all are 1."""
        if self.query_weights is None:
            return None if self.query_mask is None else self.query_mask.to(self.dtype).contiguous()
        weights = self.query_weights.to(self.dtype).contiguous()
        if self.query_offsets is not None:
            weights = weights.masked_fill(~owned(self.query_offsets, weights.shape[0]), 0.0)
        return weights if self.query_mask is None else weights.masked_fill(~self.query_mask, 0.0)

    def row_query(self) -> Tensor:
        """The query of each query row, int32 ``[query_rows]``; of a row that is nobody's, the nearest."""
        return owners(self.query_offsets, self.query_tokens, self.queries.shape[0], self.queries.device)


def owners(offsets: Tensor | None, tokens: int, rows: int, device: torch.device) -> Tensor:
    """Whose each row is, int32 ``[rows]``: by offsets, or ``tokens`` rows each.

    Rows before the first offset count as the first owner's and rows from the last offset on as the last one's: an index
    that fits whatever the offsets, which on a device are not looked at. :func:`owned` tells such rows.

    Example:
        >>> owners(torch.tensor([0, 1, 1, 3]), 0, 4, torch.device("cpu"))
        tensor([0, 2, 2, 2], dtype=torch.int32)
    """
    places = torch.arange(rows, device=device, dtype=torch.int32)
    if offsets is None:
        return places // max(tokens, 1)
    found = torch.searchsorted(offsets[1:].contiguous(), places.to(offsets.dtype), right=True, out_int32=True)
    return found.clamp(max=offsets.shape[0] - 2)


def owned(offsets: Tensor, rows: int) -> Tensor:
    """Which rows the offsets give to someone, bool ``[rows]``.

    Example:
        >>> owned(torch.tensor([1, 1, 3]), 4)
        tensor([False,  True,  True, False])
    """
    places = torch.arange(rows, device=offsets.device)
    return (places >= offsets[0]) & (places < offsets[-1])


def check_offsets(offsets: Tensor | None, rows: int, name: str, longest: int | None = None) -> None:
    """Refuse offsets that do not cut the rows into consecutive parts. Reads values, so only of a CPU tensor.

    Args:
        offsets: where each part begins, and the end of the last.
        rows: how many there are.
        name: of the offsets.
        longest: what ``max_query_tokens`` says that no part is longer than; None = nothing.

    Example:
        >>> check_offsets(torch.tensor([0, 3, 2]), 2, "document_cu_seqlens")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: document_cu_seqlens: expected to never fall, got 3 then 2 at place 2
    """
    if offsets is None or offsets.device.type != "cpu":
        return
    values = offsets.tolist()
    if values[0] != 0 or values[-1] != rows:
        raise InputError(
            f"{name}: expected to go from 0 to {rows}, the number of rows, got {values[0]} to {values[-1]}"
        )
    for place, (before, after) in enumerate(pairwise(values), 1):
        if after < before:
            raise InputError(f"{name}: expected to never fall, got {before} then {after} at place {place}")
        if longest is not None and after - before > longest:
            raise InputError(
                f"max_query_tokens: expected at least the tokens of every query, got {longest} where query {place - 1} "
                f"has {after - before}; None knows no bound"
            )

"""Linear recurrences along lists, in plain torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

_SHORTEST_BLOCK = 16
# Numbers that one step of a loop over items adds up at a time: enough to outweigh the call.
_STEP_ELEMENTS = 4096


def recurrence(factors: Tensor, terms: Tensor) -> Tensor:
    """``y_i = factors_i y_{i-1} + terms_i`` along the last axis.

    Example:
        >>> import torch
        >>> recurrence(torch.full((1, 4), 0.5), torch.ones(1, 4))
        tensor([[1.0000, 1.5000, 1.7500, 1.8750]])
    """
    rows, n = factors.shape
    length = max(_SHORTEST_BLOCK, rows * n // _STEP_ELEMENTS)
    if n <= length:
        return _by_items(factors, terms)
    blocks = -(-n // length)
    factors, terms = (pad(x, (0, blocks * length - n)).view(rows * blocks, length) for x in (factors, terms))
    within = _by_items(factors, terms)
    through = factors.cumprod(dim=1)
    carried = recurrence(through[:, -1].view(rows, blocks), within[:, -1].view(rows, blocks))
    before = pad(carried[:, :-1], (1, 0)).view(-1, 1)
    return within.addcmul_(through, before).view(rows, -1)[:, :n]


def _by_items(factors: Tensor, terms: Tensor) -> Tensor:
    """One item of all rows at a time, which lie side by side for it."""
    sums = terms.t().contiguous()
    columns, by = sums.unbind(), factors.t().contiguous().unbind()
    for previous, column, factor in zip(columns, columns[1:], by[1:], strict=False):
        column.addcmul_(factor, previous)
    return sums.t().contiguous()

"""The numbers by which rankings name documents, where some were added or deleted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rankgrad._checks import InputError


def new_ids(ids: Sequence[int] | None, count: int, known: Tensor, next_id: int) -> Tensor:
    """Numbers for ``count`` more documents, int64.

    Args:
        ids: those wanted; None = from ``next_id`` on.
        count: documents.
        known: numbers that are taken.
        next_id: above the highest number that was ever taken.

    Raises:
        InputError: for another count, and numbers that are taken, given twice or negative.

    Example:
        >>> new_ids(None, 2, torch.tensor([0, 4]), 5).tolist()
        [5, 6]
    """
    if ids is None:
        return torch.arange(next_id, next_id + count)
    wanted = _once(ids)
    if len(wanted) != count:
        raise InputError(f"ids: expected {count}, one a document, got {len(wanted)}")
    if int(wanted.min()) < 0:
        raise InputError(f"ids: expected numbers from 0 on, got {int(wanted.min())}")
    taken = wanted[torch.isin(wanted, known.to(wanted.device))]
    if len(taken):
        raise InputError(f"ids: {int(taken[0])} is in the index already: delete it first, or give another")
    return wanted


def known_ids(ids: Sequence[int], known: Tensor) -> Tensor:
    """Numbers of documents that are there, on the device of ``known``.

    Raises:
        InputError: for one that is not there or given twice.
    """
    wanted = _once(ids).to(known.device)
    missing = wanted[~torch.isin(wanted, known)]
    if len(missing):
        raise InputError(f"ids: {int(missing[0])} is not in the index")
    return wanted


def _once(ids: Sequence[int]) -> Tensor:
    """Distinct numbers as int64."""
    given = torch.as_tensor(ids)
    if not given.numel():
        given = given.long()
    if given.dim() != 1 or given.is_floating_point() or given.dtype == torch.bool:
        raise TypeError(f"ids: expected whole numbers [n], got {given.dtype} {list(given.shape)}")
    values, counts = given.unique(return_counts=True)
    if (counts > 1).any():
        raise InputError(f"ids: {int(values[counts > 1][0])} is given twice: name each document once")
    return given.long()

"""Running a model over many texts: batches of like length, results in the caller's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data.collate import TextTokens
from rankgrad.tokens import Tokens


def sorted_batches(
    tokens: Tokens,
    batch_size: int | None,
    device: torch.device,
    *,
    token_budget: int | None = None,
    spare_padding: bool | None = None,
) -> Iterator[tuple[np.ndarray, TextTokens]]:
    """Yield (rows, padded batch) from the longest rows down, so that no batch carries another's padding.

    The longest come first: a batch that does not fit in memory fails at once, not at the end.

    Args:
        batch_size: rows of a batch; None = any number.
        token_budget: tokens of a batch, rows times the longest; a row that is longer goes alone. None = any number.
        spare_padding: end a batch also where lengths fall by a fifth; None = on a CPU.
    """
    check_sizes(batch_size, token_budget)
    spare = device.type == "cpu" if spare_padding is None else spare_padding
    order = np.argsort(-tokens.lengths, kind="stable")
    for rows in _runs(order, tokens.lengths, batch_size, token_budget, spare_padding=spare):
        yield rows, on_device(tokens, rows, device)


def check_sizes(batch_size: int | None, token_budget: int | None) -> None:
    """Refuse sizes of a batch below 1."""
    for name, value in (("batch_size", batch_size), ("token_budget", token_budget)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: a batch needs at least 1")


def list_batches(
    tokens: Tokens, lists: np.ndarray, token_budget: int | None, device: torch.device
) -> Iterator[tuple[np.ndarray, TextTokens]]:
    """Yield (rows, padded batch) of whole lists; the rows of a batch from the longest down.

    Args:
        lists: the list of each row, int64 ``[rows]``, counted from 0.
        token_budget: tokens of a batch; a list that is longer goes alone. None = one list at a time.
    """
    members = [np.flatnonzero(lists == number) for number in range(int(lists.max()) + 1)]
    for batch in whole_lists([int(tokens.lengths[rows].sum()) for rows in members], token_budget):
        rows = np.concatenate([members[number] for number in batch])
        rows = rows[np.argsort(-tokens.lengths[rows], kind="stable")]
        yield rows, on_device(tokens, rows, device)


def whole_lists(sizes: Sequence[int], token_budget: int | None) -> Iterator[list[int]]:
    """Cut lists of such sizes, in order, into batches that keep within the budget.

    Example:
        >>> list(whole_lists([3, 4, 9, 1], 8))
        [[0, 1], [2], [3]]
    """
    batch: list[int] = []
    held = 0
    for number, size in enumerate(sizes):
        if batch and (token_budget is None or held + size > token_budget):
            yield batch
            batch, held = [], 0
        batch.append(number)
        held += size
    if batch:
        yield batch


def on_device(tokens: Tokens, rows: np.ndarray, device: torch.device) -> TextTokens:
    """Some rows as tensors, as wide as the longest of them."""
    batch = Tokens(*(field[rows] for field in tokens)).trimmed()
    return TextTokens(*(torch.from_numpy(field).to(device) for field in batch))


def in_order(rows: Sequence[np.ndarray], scores: Sequence[Tensor]) -> Tensor:
    """Put the scores of batches back in the order of the rows: ``[rows]``."""
    back = torch.argsort(torch.cat([torch.from_numpy(each) for each in rows]))
    found = torch.cat(list(scores))
    return found[back.to(found.device)]


def score_sorted(
    batches: Iterator[tuple[np.ndarray, TextTokens]], score: Callable[[np.ndarray, TextTokens], Tensor]
) -> Tensor:
    """Score the rows of all batches, in the caller's order: float32 ``[rows]``."""
    rows, scores = [], []
    for batch_rows, batch in batches:
        rows.append(batch_rows)
        scores.append(score(batch_rows, batch))
    return in_order(rows, scores)


def _runs(
    order: np.ndarray, lengths: np.ndarray, batch_size: int | None, token_budget: int | None, *, spare_padding: bool
) -> Iterator[np.ndarray]:
    """Cut rows in order of length into batches."""
    start = 0
    for end in range(1, len(order) + 1):
        rows, longest = end - start, lengths[order[start]]
        full = end == len(order) or rows == batch_size
        full = full or (token_budget is not None and (rows + 1) * longest > token_budget)
        if full or (spare_padding and lengths[order[end]] < 0.8 * longest):
            yield order[start:end]
            start = end

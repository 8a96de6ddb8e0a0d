"""Running a model over many texts: batches of like length, results in the caller's order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from rankgrad.data.collate import TextTokens
from rankgrad.tokens import Tokens


def sorted_batches(tokens: Tokens, batch_size: int, device: torch.device) -> Iterator[tuple[np.ndarray, TextTokens]]:
    """Yield (rows, padded batch) from the longest rows down, so that no batch carries another's padding.

    The longest come first: a batch that does not fit in memory fails at once, not at the end.
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    for rows in _runs(order, tokens.lengths, batch_size, spare_padding=device.type == "cpu"):
        batch = Tokens(*(field[rows] for field in tokens)).trimmed()
        yield rows, TextTokens(*(torch.from_numpy(field).to(device) for field in batch))


def _runs(order: np.ndarray, lengths: np.ndarray, batch_size: int, *, spare_padding: bool) -> Iterator[np.ndarray]:
    """Cut rows in order of length into batches; on a CPU also where lengths fall by a fifth."""
    start = 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or end - start == batch_size
        if full or (spare_padding and lengths[order[end]] < 0.8 * lengths[order[start]]):
            yield order[start:end]
            start = end


def score_sorted(
    tokens: Tokens, score: Callable[[TextTokens], Tensor], batch_size: int, device: torch.device
) -> Tensor:
    """Score every row in sorted batches and put the scores back in order: float32 ``[rows]``."""
    rows, scores = [], []
    for batch_rows, batch in sorted_batches(tokens, batch_size, device):
        rows.append(torch.from_numpy(batch_rows))
        scores.append(score(batch))
    back = torch.argsort(torch.cat(rows)).to(device)
    return torch.cat(scores)[back]

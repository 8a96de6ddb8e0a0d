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
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = Tokens(*(field[rows] for field in tokens)).trimmed()
        yield rows, TextTokens(*(torch.from_numpy(field).to(device) for field in batch))


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

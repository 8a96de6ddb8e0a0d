"""What the losses share."""

from __future__ import annotations

from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, real_items


def prepare(scores: Tensor, labels: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(scores and labels in the scores' accumulation dtype, 0 at masked items; mask).

    Raises:
        InputError: for labels or a mask not shaped like the scores.
        TypeError: for scores that are not floating point or a mask that is not bool.
    """
    mask = real_items(scores, mask)
    if labels.shape != scores.shape:
        raise InputError(f"labels: expected the shape of scores {list(scores.shape)}, got {list(labels.shape)}")
    scores = accumulate(scores, "scores")
    return scores.masked_fill(~mask, 0.0), labels.to(scores.dtype).masked_fill(~mask, 0.0), mask

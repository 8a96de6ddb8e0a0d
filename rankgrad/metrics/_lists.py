"""What the metrics share: checked lists, the cut-off, the relevant items."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, check_positive, real_items


def check_lists(
    scores: Tensor, labels: Tensor, mask: Tensor | None, judged: Tensor | None = None, *, relevance_level: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """(labels in the scores' accumulation dtype, 0 at masked items; mask; judged labels, the list's own by default).

    Raises:
        InputError: for labels, a mask or judged labels whose axes do not fit the scores, and for a relevance level that
            would make padding relevant.
        TypeError: for scores that are not floating point.
    """
    check_positive(relevance_level, "relevance_level")
    mask = real_items(scores, mask)
    if labels.shape != scores.shape:
        raise InputError(f"labels: expected the shape of scores {list(scores.shape)}, got {list(labels.shape)}")
    dtype = accumulate(scores, "scores").dtype
    labels = labels.to(dtype).masked_fill(~mask, 0.0)
    if judged is None:
        return labels, mask, labels
    if judged.shape[:-1] != scores.shape[:-1]:
        expected = [*scores.shape[:-1], "judged"]
        raise InputError(f"judged: expected {expected}, one row of labels a list, got {list(judged.shape)}")
    return labels, mask, judged.to(dtype)


def cut_weights(ranks: Tensor, k: int | None, temperature: float | None) -> Tensor:
    """How much of each item lies within the first ``k``; 0 at rank 0, which masked items have.

    ``clamp(k + 1 - rank, 0, 1)``: exactly the hard cut on whole ranks, a ramp between rank k and k + 1 on soft ones.
    With a temperature ``sigmoid((k + 1/2 - rank) / temperature)``, whose gradient reaches items far from the cut.
    """
    real = ranks != 0
    if k is None:
        return real.to(ranks.dtype)
    if k < 1:
        raise InputError(f"k: expected a cut-off of at least 1, or None for the whole list, got {k}")
    if temperature is None:
        inside = (k + 1 - ranks).clamp(0.0, 1.0)
    else:
        check_positive(temperature, "cut_temperature")
        inside = ((k + 0.5 - ranks) / temperature).sigmoid()
    return inside.masked_fill(~real, 0.0)


def at_positive_ranks(ranks: Tensor) -> Tensor:
    """Ranks with 1 in place of the masked items' 0, so that they can divide."""
    return ranks.masked_fill(ranks == 0, 1.0)


def ratio(part: Tensor, whole: Tensor, empty: float) -> Tensor:
    """``part / whole``, and ``empty`` where ``whole`` is 0."""
    nothing = whole == 0
    return (part / whole.masked_fill(nothing, 1.0)).masked_fill(nothing, empty)


def titled(title: str, k: int | None) -> str:
    """A metric's name in tables: ``nDCG@10``, or ``nDCG`` for whole lists."""
    return title if k is None else f"{title}@{k}"


def keep_nan(values: Tensor, ranks: Tensor) -> Tensor:
    """NaN for lists whose ranks hold NaN, whichever items the metric looked at."""
    return values.masked_fill(torch.isnan(ranks).any(dim=-1), float("nan"))

"""What the metrics share: checked lists, the relevant items, the cut-off, ratios."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.ops._arguments import accumulate, check_device, check_positive, real_items
from rankgrad.ops._order import readable

Empty: TypeAlias = float | Literal["skip"]
"""The value of a list that has nothing to find; ``"skip"`` is NaN, which ``nanmean`` leaves out."""

# Lists are measured in runs whose intermediate tensors stay in a core's cache.
_ITEMS = 1 << 16


def check_lists(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    judged: Tensor | None = None,
    *,
    relevance_level: float = 1.0,
    topics: bool = False,
) -> tuple[Tensor, Tensor]:
    """(labels in the scores' accumulation dtype, 0 at masked items; judged labels, the list's own by default).

    Args:
        scores, labels, mask, judged: of a metric.
        relevance_level: of a metric.
        topics: labels and judged labels have an axis more, one label a topic.

    Raises:
        InputError: for labels, a mask or judged labels whose axes do not fit the scores, for labels or a mask that lie
            on another device, and for a relevance level that would make padding relevant.
        TypeError: for scores that are not floating point.
    """
    check_positive(relevance_level, "relevance_level")
    real = None if mask is None else real_items(scores, mask)
    if scores.dim() == 0:
        raise InputError("scores: expected items on the last axis, got a tensor without axes; add one with [None]")
    # The axes of one judged document's label.
    end = labels.shape[-1:] if topics else labels.shape[:0]
    if labels.shape != scores.shape + end or (topics and labels.dim() == 0):
        expected = [*scores.shape, "topics"] if topics else list(scores.shape)
        wanted = f"{expected}, a label a topic" if topics else f"the shape of scores {expected}"
        raise InputError(f"labels: expected {wanted}, got {list(labels.shape)}")
    check_device(labels, "labels", scores, "scores")
    labels = labels.to(accumulate(scores, "scores").dtype)
    if real is not None:
        labels = labels.masked_fill((~real).unsqueeze(-1) if topics else ~real, 0.0)
    if judged is None:
        return labels, labels
    if judged.shape[: scores.dim() - 1] + judged.shape[scores.dim() :] != scores.shape[:-1] + end:
        expected = [*scores.shape[:-1], "judged", *end]
        raise InputError(f"judged: expected {expected}, one row of labels a list, got {list(judged.shape)}")
    return labels, judged.to(labels)


def in_runs(
    values: Callable[..., Tensor], scores: Tensor, *others: Tensor | None, differentiable: bool = False
) -> Tensor:
    """``values(scores, *others)``, on a CPU a run of lists at a time where nothing is differentiated.

    Args:
        values: from lists to one value each.
        scores: ``[..., items]``.
        others: tensors with the same leading axes, or None.
        differentiable: leave the lists together, for autograd.
    """
    leading = scores.shape[:-1]
    if differentiable or scores.numel() <= _ITEMS or not leading or not readable(scores):
        return values(scores, *others)
    if any(each is not None and each.shape[: len(leading)] != leading for each in others):
        return values(scores, *others)
    lists = leading.numel()
    rows = [each if each is None else each.reshape(lists, *each.shape[len(leading) :]) for each in (scores, *others)]
    step = max(1, _ITEMS // scores.shape[-1])
    starts = range(0, lists, step)
    found = [values(*(row if row is None else row[start : start + step] for row in rows)) for start in starts]
    together = torch.cat(found)
    return together.reshape(*leading, *together.shape[1:])


def check_cut(k: int | None) -> None:
    """Refuse a cut-off below 1."""
    if k is not None and k < 1:
        raise InputError(f"k: expected a cut-off of at least 1, or None for the whole list, got {k}")


def cut_weights(ranks: Tensor, k: int | Tensor | None, temperature: float | None) -> Tensor:
    """How much of each item lies within the first ``k``; 0 at rank 0, which masked items have.

    ``clamp(k + 1 - rank, 0, 1)``: exactly the hard cut on whole ranks, a ramp between rank k and k + 1 on soft ones.
    With a temperature ``sigmoid((k + 1/2 - rank) / temperature)``, whose gradient reaches items far from the cut. A
    tensor ``k`` has an axis of length 1 for the items.
    """
    real = ranks != 0
    if k is None:
        return real.to(ranks.dtype)
    if not isinstance(k, Tensor):
        check_cut(k)
    if temperature is None:
        inside = (k + 1 - ranks).clamp(0.0, 1.0)
    else:
        check_positive(temperature, "cut_temperature")
        inside = ((k + 0.5 - ranks) / temperature).sigmoid()
    return inside.masked_fill(~real, 0.0)


def count_from(labels: Tensor, level: float, *, dim: int = -1) -> Tensor:
    """How many labels reach a level."""
    # Floats, since torch adds booleans one by one.
    return (labels >= level).to(labels.dtype).sum(dim=dim)


def has_number(scores: Tensor, mask: Tensor | None) -> Tensor:
    """True for a list in which no real item's score is NaN."""
    real = scores.detach() if mask is None else scores.detach().masked_fill(~mask, 0.0)
    # A maximum is NaN where any value is; a padding column lets a list without items have one.
    return ~pad(real, (0, 1)).amax(dim=-1).isnan() if not real.shape[-1] else ~real.amax(dim=-1).isnan()


def at_positive_ranks(ranks: Tensor) -> Tensor:
    """Ranks with 1 in place of the masked items' 0, so that they can divide."""
    return ranks.masked_fill(ranks == 0, 1.0)


def ratio(part: Tensor, whole: Tensor, empty: Empty) -> Tensor:
    """``part / whole``, and ``empty`` where ``whole`` is 0."""
    nothing = whole == 0
    return (part / whole.masked_fill(nothing, 1.0)).masked_fill(nothing, empty_value(empty))


def empty_value(empty: Empty) -> float:
    """The number that stands for ``empty``.

    Example:
        >>> empty_value(1.0), empty_value("skip")
        (1.0, nan)
    """
    if not isinstance(empty, str):
        return float(empty)
    if empty != "skip":
        raise InputError(f'empty: expected a number or "skip", got {empty!r}')
    return float("nan")


def titled(title: str, k: int | None) -> str:
    """A metric's name in tables: ``nDCG@10``, or ``nDCG`` for whole lists."""
    return title if k is None else f"{title}@{k}"


def keep_nan(values: Tensor, ranks: Tensor) -> Tensor:
    """NaN for lists whose ranks hold NaN, whichever items the metric looked at."""
    return values.masked_fill(torch.isnan(ranks).any(dim=-1), float("nan"))

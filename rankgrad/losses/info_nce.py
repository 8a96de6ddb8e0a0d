"""Contrastive loss of positives against negatives."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn
from torch.nn.functional import pad

from rankgrad._checks import InputError
from rankgrad.losses._lists import Lists, prepare, reduce_lists
from rankgrad.ops import masked_logsumexp, masked_mean
from rankgrad.ops._arguments import check_device, check_positive
from rankgrad.ops.masked import Reduction


def info_nce_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    filter_margin: float | None = None,
    filter_relative: bool = False,
    guide: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-probability of each positive among itself and the negatives.

    ``-1/|P| sum_{p in P} w_p log( e^{s_p / t} / (e^{s_p / t} + sum_{n in N} e^{s_n / t}) )`` with temperature t, the
    positives P (label above 0) and the negatives N (all other real items): positives never push each other down.
    In-batch negatives are columns with label 0. Lists without a positive do not count; a list without a negative has
    loss 0.

    Negatives that look like positives can be left out: with a ``filter_margin`` m those whose guide score is above
    ``g - m``, g being the lowest guide score of a positive of the list, or above ``g - m |g|`` when relative (0.05:
    above 95 % of it).

    Args:
        scores: higher is better.
        labels: positive above 0.
        mask: True = a real item.
        temperature: divides the scores.
        filter_margin: how far below the positives negatives must lie to count; None = all count.
        filter_relative: the margin is a share of the positives' score.
        guide: what is compared, of another model for example; None = the scores themselves. It takes no gradient.
        weights: of items, each times its positive's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask, guide ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        van den Oord, Li, Vinyals: Representation learning with contrastive predictive coding, arXiv:1807.03748, 2018.
        Filter: Moreira et al.: NV-Retriever: improving text embedding models with effective hard-negative mining,
        arXiv:2407.15831, 2024.

    Example:
        >>> import torch
        >>> info_nce_loss(torch.tensor([0.0, 0.0, 0.0]), torch.tensor([1, 1, 0]))
        tensor(0.6931)
        >>> info_nce_loss(torch.tensor([1.0, 0.98, 0.5]), torch.tensor([1, 0, 0]), filter_margin=0.1)
        tensor(0.4741)
    """
    _check(temperature, filter_margin, guide)
    lists = prepare(scores, labels, mask, weights)
    logits, positive = lists.scores / temperature, lists.labels > 0
    counted = lists.mask & ~positive
    if filter_margin is not None:
        counted = counted & _clear(lists, positive, filter_margin, filter_relative, guide)
    negatives = masked_logsumexp(logits, counted).unsqueeze(-1)
    # Of the negatives' own logits none may meet the sum: -inf - (-inf) would turn their gradient to NaN.
    terms = nn.functional.softplus(negatives - logits.masked_fill(~positive, 0.0))
    return reduce_lists(masked_mean(lists.weighted(terms), positive), positive.any(dim=-1), lists, reduction)


def _clear(lists: Lists, positive: Tensor, margin: float, relative: bool, guide: Tensor | None) -> Tensor:
    """Which items lie clearly below the positives."""
    guide = lists.scores if guide is None else guide
    if guide.shape != lists.scores.shape:
        raise InputError(f"guide: expected the shape of scores {list(lists.scores.shape)}, got {list(guide.shape)}")
    check_device(guide, "guide", lists.scores, "scores")
    guide = guide.detach()
    lowest = pad(guide.masked_fill(~positive, float("inf")), (0, 1), value=float("inf")).amin(dim=-1, keepdim=True)
    return guide <= lowest - margin * (lowest.abs() if relative else 1.0)


def _check(temperature: float, margin: float | None, guide: Tensor | None) -> None:
    check_positive(temperature, "temperature")
    if margin is None and guide is not None:
        raise InputError("guide: expected None without a filter_margin, which it is compared by")
    if margin is not None and not margin >= 0:
        raise InputError(f"filter_margin: expected a number of at least 0, got {margin}")


class InfoNCELoss(nn.Module):
    """:func:`info_nce_loss` with its options held.

    Example:
        >>> import torch
        >>> InfoNCELoss(temperature=0.05)(torch.tensor([1.0, 1.0]), torch.tensor([1, 0]))
        tensor(0.6931)
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        filter_margin: float | None = None,
        filter_relative: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(temperature, filter_margin, None)
        self.loss = partial(
            info_nce_loss,
            temperature=temperature,
            filter_margin=filter_margin,
            filter_relative=filter_relative,
            reduction=reduction,
        )

    def forward(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        weights: Tensor | None = None,
        guide: Tensor | None = None,
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights, guide=guide)

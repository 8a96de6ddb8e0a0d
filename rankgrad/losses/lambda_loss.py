"""The LambdaLoss framework."""

from __future__ import annotations

from functools import partial
from math import log
from typing import Literal, TypeAlias, get_args

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._gains import check_cut, gains_of, normalised
from rankgrad.losses._lists import labels_differ, prepare, reduce_lists
from rankgrad.metrics.conventions import Gain
from rankgrad.ops import hard_rank
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction
from rankgrad.ops.pairwise_loss import PairOptions, pairwise_losses

Weighting: TypeAlias = Literal["lambda_rank", "ndcg_loss1", "ndcg_loss2", "ndcg_loss2++", "arp_loss1", "arp_loss2"]


def lambda_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    weighting: Weighting = "ndcg_loss2++",
    k: int | None = None,
    sigma: float = 1.0,
    mu: float = 10.0,
    gain: Gain = "exp2",
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Logistic losses of pairs, weighed by what the pair matters to a metric.

    ``sum_ij w_i W_ij log2(1 + exp(-sigma (s_i - s_j)))`` with gains ``G_i = gain(y_i) / IDCG@k``, discounts ``D_r =
    log2(1 + r)`` and the ranks r of the scores, which take no gradient. Over pairs ``y_i > y_j``, with ``d = |r_i -
    r_j|``:

    - ``"lambda_rank"``: ``W = |G_i - G_j| |1/D(r_i) - 1/D(r_j)|``, the change of nDCG were i and j to swap
    - ``"ndcg_loss2"``: ``W = |G_i - G_j| (1/D(d) - 1/D(d + 1))``, a tighter bound of it
    - ``"ndcg_loss2++"``: the first plus ``mu`` times the second
    - ``"arp_loss2"``: ``W = |y_i - y_j|``, a bound of the average relevance position

    and over all pairs ``i != j``, with a bound that is looser:

    - ``"ndcg_loss1"``: ``W = G_i / D(r_i)``
    - ``"arp_loss1"``: ``W = y_i``

    Ties of scores: the lowest index ranks first. Negative labels count as 0. Lists without a pair of weight do not
    count. No n x n tensor is held: values and gradient are made together, a tile of pairs at a time.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        weighting: one of the above.
        k: only pairs of which at least one item ranks within k, and gains over the ideal of k; None = all.
        sigma: multiplies the scores.
        mu: of ``"ndcg_loss2++"``.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels; not of the ARP losses.
        weights: of items, for the pairs that prefer it, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Wang, Li, Golbandi, Bendersky, Najork: The LambdaLoss framework for ranking metric optimization, CIKM 2018.
        LambdaRank: Burges, Ragno, Le: Learning to rank with nonsmooth cost functions, NIPS 2006.

    Example:
        >>> import torch
        >>> lambda_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]), weighting="lambda_rank")
        tensor(1.0329)
    """
    _check(weighting, k, sigma, mu)
    lists = prepare(scores, labels, mask, weights)
    relevance = weighting.startswith("arp")
    keys = lists.labels.clamp(min=0.0) if relevance else normalised(gains_of(lists, gain), k)
    if weighting in ("ndcg_loss1", "arp_loss1"):
        counts = (keys > 0).any(dim=-1) & (lists.mask.sum(dim=-1) > 1)
        if not relevance:
            keys = keys / (1 + hard_rank(lists.scores, mask=lists.mask)).clamp(min=2.0).log2()
        keys, amounts, options = lists.weighted(keys), None, PairOptions(pairs="each", k=k or 0)
    else:
        counts = labels_differ(lists._replace(labels=keys))
        swap = 1.0 if weighting in ("lambda_rank", "ndcg_loss2++") else 0.0
        gap = {"ndcg_loss2": 1.0, "ndcg_loss2++": mu}.get(weighting, 0.0)
        amounts, options = lists.weights, PairOptions(pairs="difference", swap=swap, gap=gap, k=k or 0)
    losses = pairwise_losses(lists.scores * sigma, keys, lists.mask, weights=amounts, options=options) / log(2)
    return reduce_lists(losses, counts, lists, reduction)


def _check(weighting: str, k: int | None, sigma: float, mu: float) -> None:
    if weighting not in get_args(Weighting):
        raise InputError(f"weighting: expected one of {', '.join(get_args(Weighting))}, got {weighting!r}")
    check_cut(k)
    check_positive(sigma, "sigma")
    check_positive(mu, "mu")


class LambdaLoss(nn.Module):
    """:func:`lambda_loss` with its options held.

    Example:
        >>> import torch
        >>> LambdaLoss(weighting="ndcg_loss2")(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.7803)
    """

    def __init__(
        self,
        *,
        weighting: Weighting = "ndcg_loss2++",
        k: int | None = None,
        sigma: float = 1.0,
        mu: float = 10.0,
        gain: Gain = "exp2",
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(weighting, k, sigma, mu)
        self.loss = partial(
            lambda_loss,
            weighting=weighting,
            k=k,
            sigma=sigma,
            mu=mu,
            gain=gain,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)

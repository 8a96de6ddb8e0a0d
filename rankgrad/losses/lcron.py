"""A cascade of rankers as one."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._gains import check_cut
from rankgrad.losses._lists import Lists, labels_differ, lower_counts, prepare, reduce_lists
from rankgrad.ops import masked_mean, relaxed_permutation
from rankgrad.ops._arguments import check_device, check_positive
from rankgrad.ops.masked import Reduction

_LEAST = 1e-6


def lcron_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    k: int | tuple[int, ...] = 10,
    temperature: float = 1.0,
    log_scales: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Cross-entropy of the best items surviving all stages of a cascade, and each stage alone.

    Stage t keeps item i with ``u_ti = sum_{r <= k_t} P_ri / (sum_r P_ri + 1e-6)``, P being the NeuralSort matrix of its
    scores, and drops it with ``v_ti``, the same over ``r > k_t``. With targets y, 1 for the ``min(k_t)`` items of
    highest labels, the loss of a list is the mean over its items of

    ``-y log(prod_t u_t + 1e-6) - (1 - y) log(1 - prod_t (1 - v_t) + 1e-6)
    + sum_t (-y log(u_t + 1e-6) - (1 - y) log(v_t + 1e-6)) / (2 e^{2 l_t}) + sum_t l_t``

    with log-scales l that may be learnt. Labels tied at the cut share what places are left. The gradient is the exact
    derivative, where the published code holds the columns' sums constant. Matrices are never held. Lists whose labels
    are all equal do not count.

    Args:
        scores: of all stages; higher is better.
        labels: graded relevance.
        mask: True = a real item.
        k: how many items a stage hands on, one for all stages or one each.
        temperature: softness of the places, in the units of the scores; to keep it, let it grow as the lists do.
        log_scales: of the stages' losses; None = 0.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores ``[stages, ..., items]``, labels, mask ``[..., items]``, log_scales ``[stages]``, weights
        ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Wang et al.: Learning cascade ranking as one network, ICML 2025.

    Example:
        >>> stages = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
        >>> lcron_loss(stages, torch.tensor([1, 0, 0]), k=1)
        tensor(1.2069)
    """
    check_positive(temperature, "temperature")
    if scores.dim() < 2:
        raise InputError(f"scores: expected shape [stages, ..., items], got {list(scores.shape)}")
    stages = len(scores)
    cuts = (k,) * stages if isinstance(k, int) else tuple(k)
    if len(cuts) != stages:
        raise InputError(f"k: expected one number, or one for each of {stages} stages, got {len(cuts)}")
    for cut in cuts:
        check_cut(cut)
    # What is not a number in any stage makes the list's loss so; masked places are cleared in each.
    lists = prepare(scores.sum(dim=0) if stages else scores[0], labels, mask, weights)
    scales = lists.scores.new_zeros(stages) if log_scales is None else log_scales.to(lists.scores.dtype)
    if scales.shape != (stages,):
        raise InputError(f"log_scales: expected shape {[stages]}, got {list(scales.shape)}")
    check_device(scales, "log_scales", lists.scores, "scores")
    chances = [
        _kept(one.to(lists.scores.dtype), lists, cut, temperature) for one, cut in zip(scores, cuts, strict=True)
    ]
    kept, dropped = (torch.stack(parts) for parts in zip(*chances, strict=True))
    targets = _best(lists, min(cuts))
    whole = _cross_entropy(targets, kept.prod(dim=0), 1 - (1 - dropped).prod(dim=0))
    single = _cross_entropy(targets, kept, dropped).movedim(0, -1)
    terms = whole + (single / (2 * (2 * scales).exp()) + scales).sum(dim=-1)
    losses = masked_mean(lists.weighted(terms), lists.mask)
    return reduce_lists(losses, labels_differ(lists), lists, reduction)


def _kept(scores: Tensor, lists: Lists, cut: int, temperature: float) -> tuple[Tensor, Tensor]:
    """How much of each item lies within the first ``cut`` places, and how much behind them."""
    inside = (torch.arange(scores.shape[-1], device=scores.device) < cut).to(scores.dtype)
    values = torch.stack([inside, 1 - inside], dim=-1).expand(*scores.shape, 2)
    found = relaxed_permutation.apply(scores, values, lists.mask, temperature, method="neuralsort", transpose=True)
    total = found.sum(dim=-1) + _LEAST
    return found[..., 0] / total, found[..., 1] / total


def _best(lists: Lists, cut: int) -> Tensor:
    """1 for the items of the highest labels, a share for those tied at the cut."""
    lower, higher = lower_counts(lists.labels, lists.mask), lower_counts(-lists.labels, lists.mask)
    tied = lists.mask.sum(dim=-1, keepdim=True) - lower - higher
    return ((cut - higher) / tied.clamp(min=1)).clamp(0.0, 1.0).to(lists.scores.dtype).masked_fill(~lists.mask, 0.0)


def _cross_entropy(targets: Tensor, kept: Tensor, dropped: Tensor) -> Tensor:
    return -targets * (kept + _LEAST).log() - (1 - targets) * (dropped + _LEAST).log()


class LCRONLoss(nn.Module):
    """:func:`lcron_loss` with its options held and log-scales that are parameters.

    They are learnt where the optimiser is given this module's parameters too.

    Example:
        >>> stages = torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
        >>> LCRONLoss(stages=2, k=1)(stages, torch.tensor([1, 0, 0]))
        tensor(1.2069, grad_fn=<DivBackward0>)
    """

    def __init__(
        self,
        *,
        stages: int,
        k: int | tuple[int, ...] = 10,
        temperature: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.log_scales = nn.Parameter(torch.zeros(stages))
        self.loss = partial(lcron_loss, k=k, temperature=temperature, reduction=reduction)

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, log_scales=self.log_scales, weights=weights)

"""Cross-entropy of being among the first k."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.ops import masked_mean, sinkhorn
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction

_LEAST = 1e-7


def top_k_cross_entropy_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    probabilities: tuple[float, ...] = (0.5, 0.0, 0.0, 0.0, 0.5),
    temperature: float = 1.0,
    iterations: int = 20,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative log-probability that a positive is among the first k, k being drawn at random.

    ``-mean_{p} w_p log sum_k P(k) sum_{r <= k} A_rp`` over positives p (label above 0), where A is the doubly
    stochastic matrix of soft places (Sinkhorn iterations from NeuralSort) and P the probabilities of k = 1, 2 and so
    on. Columns of A are divided by their sum, so that what is taken the logarithm of is at most 1, and at least 1e-7.
    The matrix is never held. Lists without a positive do not count.

    Args:
        scores: higher is better.
        labels: positive above 0.
        mask: True = a real item.
        probabilities: of k = 1, 2, ...; at least 0 and summing to 1.
        temperature: softness of the places, in the units of the scores.
        iterations: Sinkhorn's; 0 = NeuralSort.
        weights: of items, each times its item's term, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Petersen, Kuehne, Borgelt, Deussen: Differentiable top-k classification learning, ICML 2022.

    Example:
        >>> import torch
        >>> top_k_cross_entropy_loss(torch.zeros(100), torch.eye(100)[0])
        tensor(3.5066)
    """
    _check(probabilities, temperature)
    lists = prepare(scores, labels, mask, weights)
    positive, items = lists.labels > 0, lists.scores.shape[-1]
    reached = _reached(lists.scores.new_zeros(max(items, len(probabilities))), probabilities)[:items]
    values = torch.stack([reached, torch.ones_like(reached)], dim=-1).expand(*lists.scores.shape, 2)
    sums = sinkhorn.apply(lists.scores, values, lists.mask, temperature, transpose=True, iterations=iterations)
    shares = sums[..., 0] / sums[..., 1].masked_fill(~lists.mask, 1.0)
    losses = -(shares * (1 - 2 * _LEAST) + _LEAST).log()
    return reduce_lists(masked_mean(lists.weighted(losses), positive), positive.any(dim=-1), lists, reduction)


def _reached(zeros: Tensor, probabilities: tuple[float, ...]) -> Tensor:
    """The chance that k is at least 1, 2 and so on, in the place of zeros."""
    # Filled number by number: a list would be copied to a GPU, which the host would wait for.
    for place, chance in enumerate(probabilities):
        zeros[place : place + 1].fill_(chance)
    return zeros.flip(0).cumsum(0).flip(0)


def _check(probabilities: tuple[float, ...], temperature: float) -> None:
    check_positive(temperature, "temperature")
    if not probabilities or min(probabilities) < 0 or abs(sum(probabilities) - 1) > 1e-6:
        raise InputError(f"probabilities: expected numbers of at least 0 that sum to 1, got {probabilities}")


class TopKCrossEntropyLoss(nn.Module):
    """:func:`top_k_cross_entropy_loss` with its options held.

    Example:
        >>> import torch
        >>> TopKCrossEntropyLoss(probabilities=(1.0,))(torch.zeros(4), torch.tensor([1, 0, 0, 0]))
        tensor(1.3863)
    """

    def __init__(
        self,
        *,
        probabilities: tuple[float, ...] = (0.5, 0.0, 0.0, 0.0, 0.5),
        temperature: float = 1.0,
        iterations: int = 20,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        _check(probabilities, temperature)
        self.loss = partial(
            top_k_cross_entropy_loss,
            probabilities=probabilities,
            temperature=temperature,
            iterations=iterations,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)

"""NeuralNDCG."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from rankgrad.losses._gains import check_cut, discounts, gains_of, normalised
from rankgrad.losses._lists import prepare, reduce_lists
from rankgrad.metrics.conventions import Gain
from rankgrad.ops import sinkhorn
from rankgrad.ops._arguments import check_positive
from rankgrad.ops.masked import Reduction


def neural_ndcg_loss(
    scores: Tensor,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    temperature: float = 1.0,
    k: int | None = None,
    gain: Gain = "exp2",
    iterations: int = 20,
    weights: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """1 minus nDCG of gains that a doubly stochastic matrix of soft places has put in order.

    ``1 - sum_{r <= k} (A G)_r / log2(1 + r)`` with gains G over their ideal DCG and A the NeuralSort matrix of the
    scores after Sinkhorn iterations. The published loss, up to the 1; 0 iterations leave the columns as they are, and
    the value may then exceed the hard nDCG's. The matrix is never held. Lists without a positive gain do not count.

    Args:
        scores: higher is better.
        labels: graded relevance.
        mask: True = a real item.
        temperature: softness of the places, in the units of the scores.
        k: cut-off; None = the whole list.
        gain: ``"exp2"`` 2^y - 1, ``"linear"`` y, or a function of the labels.
        iterations: Sinkhorn's; a list's result never depends on the others of its batch.
        weights: of items, each times its item's gain, in the ideal order too, or of lists; at least 0; None = 1.
        reduction: ``"mean"`` over the lists that count, ``"sum"``, or ``"none"`` for one value a list.

    Shape:
        scores, labels, mask ``[..., items]``, weights ``[..., items]`` or ``[...]`` -> ``[]``, or ``[...]`` with
        ``"none"``; float32 (float64 for float64).

    Raises:
        InputError: for shapes that do not fit, a negative weight or an option out of range.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Reference:
        Pobrotyn, Białobrzeski: NeuralNDCG: direct optimisation of a ranking metric via differentiable relaxation of
        sorting, arXiv:2102.07831, 2021.

    Example:
        >>> import torch
        >>> neural_ndcg_loss(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.2848)
    """
    check_positive(temperature, "temperature")
    check_cut(k)
    lists = prepare(scores, labels, mask, weights)
    gains = normalised(lists.weighted(gains_of(lists, gain)), k)

    placed = sinkhorn.apply(lists.scores, gains.unsqueeze(-1), lists.mask, temperature, iterations=iterations)[
        ..., :k, 0
    ]

    losses = 1 - (placed * discounts(placed.shape[-1], placed)).sum(dim=-1)
    return reduce_lists(losses, (gains > 0).any(dim=-1), lists, reduction)


class NeuralNDCG(nn.Module):
    """:func:`neural_ndcg_loss` with its options held.

    Example:
        >>> import torch
        >>> NeuralNDCG(iterations=0)(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 2, 1]))
        tensor(0.2310)
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        k: int | None = None,
        gain: Gain = "exp2",
        iterations: int = 20,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        check_cut(k)
        self.loss = partial(
            neural_ndcg_loss,
            temperature=temperature,
            k=k,
            gain=gain,
            iterations=iterations,
            reduction=reduction,
        )

    def forward(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, weights: Tensor | None = None
    ) -> Tensor:
        return self.loss(scores, labels, mask, weights=weights)

"""A cascade's quality and its milliseconds as one loss."""

from __future__ import annotations

from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses import ApproxNDCG, Loss
from rankgrad.ops._arguments import check_positive
from rankgrad.ops._spread import in_deviations
from rankgrad.pipeline.cascade import CascadeScores


def cascade_loss(
    found: CascadeScores,
    labels: Tensor,
    mask: Tensor | None = None,
    *,
    final: Loss | None = None,
    gate: float = 0.1,
    joint: Loss | None = None,
    joint_weight: float = 1.0,
    budget: float | None = None,
    cost_weight: float = 1.0,
) -> Tensor:
    """``final(s + gate log survival) + joint_weight joint(z) + cost_weight max(0, cost / budget - 1)``.

    The first term is any loss of lists, seen through the hand-overs: 1 minus a metric made soft, say. With a gate above
    that loss's temperature what was dropped lies too far behind for it to be pulled up. The second sees the scores z of
    all stages, ``[stages, queries, documents]``, in deviations of their list: LCRON. The third is what the expected
    milliseconds, a mean over the queries, exceed the budget by, as a share of it.

    Args:
        found: of :meth:`rankgrad.pipeline.Cascade.relaxed`.
        labels: graded relevance.
        mask: True = a real document; None = that of ``found``.
        final: of (scores, labels, mask); None = none, where ``joint`` is given, else ``ApproxNDCG()``.
        gate: the temperature of ``final``, 0.1 that of ``ApproxNDCG()``, see :meth:`CascadeScores.final`.
        joint: for example ``LCRONLoss(stages=2, k=(20, 10), temperature=5.0)``.
        joint_weight: of the second term.
        budget: milliseconds a query; None = no third term.
        cost_weight: of the third term.

    Shape:
        labels, mask ``[queries, documents]`` -> ``[]``.

    Raises:
        InputError: for a budget, gate or weight out of range, or what a loss refuses.

    Reference:
        Wang et al.: Learning cascade ranking as one network, ICML 2025.

    Example:
        >>> import torch
        >>> real = torch.ones(1, 2, dtype=torch.bool)
        >>> scores = torch.tensor([[[2.0, 1.0]], [[0.0, 0.5]]])
        >>> found = CascadeScores(scores, torch.tensor([[[1.0, 1.0]], [[1.0, 1e-9]]]), real, torch.tensor([30.0]))
        >>> cascade_loss(found, torch.tensor([[1, 0]]), budget=20.0)  # right, but half as dear again as it may be
        tensor(0.5000)
    """
    _check(gate, joint_weight, budget, cost_weight)
    mask = found.mask if mask is None else mask
    loss = found.cost.new_zeros(())
    if final is not None or joint is None:
        loss = loss + (final or ApproxNDCG())(found.final(gate), labels, mask)
    if joint is not None:
        spread, _ = in_deviations(found.scores, mask.expand(found.scores.shape))
        loss = loss + joint_weight * joint(spread, labels, mask)
    if budget is not None:
        loss = loss + cost_weight * (found.cost.mean() / budget - 1).clamp(min=0.0)
    return loss


def _check(gate: float, joint_weight: float, budget: float | None, cost_weight: float) -> None:
    check_positive(gate, "gate")
    if budget is not None:
        check_positive(budget, "budget")
    for name, weight in (("joint_weight", joint_weight), ("cost_weight", cost_weight)):
        if not 0 <= weight < float("inf"):
            raise InputError(f"{name}: expected a number of at least 0, got {weight}")


class CascadeLoss(nn.Module):
    """:func:`cascade_loss` with its options held.

    Example:
        >>> import torch
        >>> from rankgrad.losses import LCRONLoss
        >>> real = torch.ones(1, 3, dtype=torch.bool)
        >>> found = CascadeScores(torch.randn(2, 1, 3), torch.ones(2, 1, 3), real, torch.tensor([5.0]))
        >>> CascadeLoss(joint=LCRONLoss(stages=2, k=1), budget=8.0)(found, torch.tensor([[1, 0, 0]])).shape
        torch.Size([])
    """

    def __init__(
        self,
        final: nn.Module | Loss | None = None,
        *,
        gate: float = 0.1,
        joint: nn.Module | Loss | None = None,
        joint_weight: float = 1.0,
        budget: float | None = None,
        cost_weight: float = 1.0,
    ) -> None:
        super().__init__()
        _check(gate, joint_weight, budget, cost_weight)
        self.final, self.joint = final, joint
        self.gate, self.joint_weight = gate, joint_weight
        self.budget, self.cost_weight = budget, cost_weight

    def forward(self, found: CascadeScores, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        return cascade_loss(
            found,
            labels,
            mask,
            final=self.final,
            gate=self.gate,
            joint=self.joint,
            joint_weight=self.joint_weight,
            budget=self.budget,
            cost_weight=self.cost_weight,
        )

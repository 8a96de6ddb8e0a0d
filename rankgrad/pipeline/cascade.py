"""Stages that hand the best on to the next, trained as one and run apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad._modes import learns
from rankgrad.ops._arguments import check_positive
from rankgrad.pipeline._aligned import aligned_scores, scores_of
from rankgrad.pipeline._plain import as_modules
from rankgrad.pipeline.hand_over import LEAST_CHANCE, soft_hand_over
from rankgrad.rerank._splice import splice
from rankgrad.retrieve._top import descending
from rankgrad.types import Ranking, Reranker


class CascadeScores(NamedTuple):
    """What every stage says of every document, and the chance that the document gets there.

    Shape:
        scores: ``[stages, queries, documents]``, each stage's own; 0 where masked.
        survival: ``[stages, queries, documents]``, from 0 to 1: the chance to reach the stage; 1 at the first, 0 where
            masked.
        mask: bool ``[queries, documents]``.
        cost: ``[queries]``, the milliseconds expected.
    """

    scores: Tensor
    survival: Tensor
    mask: Tensor
    cost: Tensor

    def final(self, gate: float = 1.0) -> Tensor:
        """``s + gate log survival`` of the last stage: ``[queries, documents]``, 0 where masked.

        A survival probability enters every listwise loss in this form: ``exp`` of it is ``survival exp(s)``. As the
        hand-over hardens, what survives keeps its score and the rest sinks below it.

        Args:
            gate: the loss's temperature, in the units of the last stage's scores.
        """
        chance = self.survival[-1].clamp(min=LEAST_CHANCE).log()
        return (self.scores[-1] + gate * chance).masked_fill(~self.mask, 0.0)


class Cascade(nn.Module):
    """A reranker of rerankers: stage t sees the ``k_t`` best of the stage before it.

    Evaluated, each stage runs on what was handed on and nothing else; what was dropped stands below, in the order of
    the stage that dropped it. In training :meth:`relaxed` lets every stage score every document and hands chances on
    (:func:`soft_hand_over`), so that a loss of the last stage has a gradient in every stage's parameters and in the
    cut-offs; :func:`cascade_loss` is such a loss. A ranking in training mode is ordered by the scores that the chances
    lower. Whatever the stage, the scores in the ranking that it gets are those that came into the
    cascade.

    Args:
        stages: rerankers over the same documents, the cheapest first, each scoring all that it is given: one with a
            ``k`` of its own needs it as large as the rankings that come in.
        cutoffs: how many documents each but the last hands on, above 1. The parameters are ``log_cutoffs``, with
            ``k = 1 + exp``; a later cut-off is at most an earlier one.
        costs: milliseconds a document of each stage, for :meth:`expected_cost`; measure them.
        temperature: softness of the hand-over, in deviations of a list's scores.
        learn_cutoffs: False holds them.

    Shape:
        takes and gives ids, scores, mask ``[queries, documents]``.

    Raises:
        InputError: for fewer than two stages, cut-offs or costs of another number or out of range, or a stage that
            does not score what it is given.

    Reference:
        Soft hand-over trained as one: Wang et al.: Learning cascade ranking as one network, ICML 2025 (LCRON). Cascades
        under a cost: Wang, Lin, Metzler: A cascade ranking model for efficient ranked retrieval, SIGIR 2011.

    Example:
        >>> def cheap(queries, ranking):
        ...     return ranking._replace(scores=torch.tensor([[4.0, 3.0, 2.0, 1.0]])[:, : ranking.ids.shape[1]])
        >>> def dear(queries, ranking):
        ...     return descending(ranking.ids, ranking.ids.float(), ranking.mask)
        >>> cascade = Cascade([cheap, dear], cutoffs=[2], costs=[0.1, 5.0]).eval()
        >>> incoming = Ranking(torch.tensor([[7, 8, 9, 6]]), torch.zeros(1, 4), torch.ones(1, 4).bool())
        >>> cascade(["a query"], incoming).ids.tolist(), cascade.expected_cost(4).detach()
        ([[8, 7, 9, 6]], tensor(10.4000))
    """

    costs: Tensor

    def __init__(
        self,
        stages: Sequence[Reranker],
        *,
        cutoffs: Sequence[float],
        costs: Sequence[float],
        temperature: float = 0.1,
        learn_cutoffs: bool = True,
    ) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        if len(stages) < 2:
            raise InputError(f"stages: a cascade has at least 2, got {len(stages)}")
        if len(cutoffs) != len(stages) - 1 or not all(1 < cut < float("inf") for cut in cutoffs):
            raise InputError(f"cutoffs: expected {len(stages) - 1} numbers above 1, got {list(cutoffs)}")
        if len(costs) != len(stages) or not all(0 <= cost < float("inf") for cost in costs):
            raise InputError(f"costs: expected {len(stages)} numbers of milliseconds, got {list(costs)}")
        self.stages = as_modules(stages)
        self.temperature = temperature
        self.log_cutoffs = nn.Parameter((torch.tensor([float(cut) for cut in cutoffs]) - 1).log(), learn_cutoffs)
        self.register_buffer("costs", torch.tensor([float(cost) for cost in costs]))

    @property
    def cutoffs(self) -> Tensor:
        """How many documents each stage but the last hands on, ``[stages - 1]``."""
        return (1 + self.log_cutoffs.exp()).cummin(dim=0).values

    @property
    def hard_cutoffs(self) -> tuple[int, ...]:
        """The same in whole documents: what is run."""
        return tuple(self.cutoffs.detach().round().long().tolist())

    def expected_cost(self, candidates: int | Tensor) -> Tensor:
        """``c_0 candidates + sum_t c_t k_t`` milliseconds a query, differentiable in the cut-offs.

        A list shorter than a cut-off costs less than this says, which goes on pulling such a cut-off down.

        Args:
            candidates: documents that come in.
        """
        return self.costs[0] * candidates + (self.costs[1:] * self.cutoffs).sum()

    def relaxed(self, queries: Any, ranking: Ranking) -> CascadeScores:
        """All stages on all documents: what is trained.

        Args:
            queries: what the stages take.
            ranking: the candidates, in any order.

        Raises:
            InputError: for a stage that does not score what it is given.
        """
        mask = ranking.mask
        scores, chances = [], []
        for place, stage in enumerate(self.stages):
            found = _scored(stage, queries, ranking).masked_fill(~mask, 0.0)
            if place == 0:
                chance = mask.to(found.dtype)
            else:
                k = self.cutoffs[place - 1]
                chance = soft_hand_over(scores[-1], chances[-1], mask, k=k, temperature=self.temperature)
            scores.append(found)
            chances.append(chance)
        # The candidates may come from a first stage on another device.
        cost = self.expected_cost(mask.sum(dim=1).to(self.costs.device)).to(mask.device)
        return CascadeScores(torch.stack(scores), torch.stack(chances), mask, cost)

    def forward(self, queries: Any, ranking: Ranking) -> Ranking:
        """Reorder ``ranking``.

        Raises:
            InputError: for a stage that does not score what it is given, or what a stage refuses.
        """
        if learns(self):
            return descending(ranking.ids, self.relaxed(queries, ranking).final(), ranking.mask)
        found = ranking
        for stage, k in zip(self.stages, (ranking.ids.shape[1], *self.hard_cutoffs), strict=True):
            ids, mask = found.ids[:, :k], found.mask[:, :k]
            head = Ranking(ids, scores_of(ranking, ids), mask)
            found = splice(found, _scored(stage, queries, head))
        return found

    def extra_repr(self) -> str:
        """The cut-offs and what they cost, for ``print``."""
        return f"cutoffs={self.hard_cutoffs}, costs={tuple(round(cost, 6) for cost in self.costs.tolist())}"


def _scored(stage: nn.Module, queries: Any, ranking: Ranking) -> Tensor:
    """A stage's scores of all documents of a ranking, in their order."""
    k = getattr(stage, "k", None)
    if isinstance(k, int) and k < ranking.ids.shape[1]:
        raise InputError(
            f"{type(stage).__name__} scores the first k={k} documents and is given {ranking.ids.shape[1]}: raise its "
            "k, or hand fewer on"
        )
    return aligned_scores(stage(queries, ranking), ranking)

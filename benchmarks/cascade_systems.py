"""The same two stages trained in different ways, with the same steps and batches."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.cascade_data import Cached, Split
from benchmarks.cascade_stages import two_stages
from benchmarks.measure import interleaved
from benchmarks.show import OURS
from rankgrad.losses import ApproxNDCG, LCRONLoss, SoftmaxLoss
from rankgrad.metrics import ndcg
from rankgrad.pipeline import Cascade, CascadeLoss
from rankgrad.pipeline._aligned import aligned_scores
from rankgrad.types import Ranking

APART, APART_NDCG = "stages trained apart, softmax", "stages trained apart, nDCG"
AS_ONE, AS_ONE_NDCG = f"{OURS}: as one, softmax", f"{OURS}: as one, nDCG"
LCRON = f"{OURS}: as one, LCRON"
LEARNED = f"{OURS}: as one, softmax and LCRON, cut-off learned"
PEERS = (APART, APART_NDCG)
SYSTEMS = (*PEERS, AS_ONE, AS_ONE_NDCG, LCRON, LEARNED)


class Setting(NamedTuple):
    """What is chosen on validation queries: the learning rate of matrices, and which of a loss's two forms."""

    rate: float
    second: bool


class Training(NamedTuple):
    """How long, how many documents are handed on, and what is tried of every system."""

    steps: int = 60
    batch: int = 8
    cutoff: int = 10
    rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)

    @property
    def settings(self) -> list[Setting]:
        """As many for every system."""
        return [Setting(rate, second) for rate in self.rates for second in (False, True)]


QUICK = Training(steps=3, batch=4, cutoff=3, rates=(3e-4,))


def tuned(
    system: str, data: Cached, costs: tuple[float, float], plan: Training, *, seed: int
) -> tuple[Setting, Cascade, float]:
    """Of all settings the best on the validation queries, with its cascade and the seconds of its training."""
    tried = [(setting, *trained(system, data, costs, plan, setting, seed=seed)) for setting in plan.settings]
    return max(tried, key=lambda each: validated([each[1]], data))


def validated(cascades: Sequence[Cascade], data: Cached) -> float:
    """nDCG@10 on the validation queries."""
    split = data.validation
    return float(torch.stack([quality(final_scores(each, split), split) for each in cascades]).mean())


def trained(
    system: str, data: Cached, costs: tuple[float, float], plan: Training, setting: Setting, *, seed: int
) -> tuple[Cascade, float]:
    """The cascade, and the seconds that its training took."""
    depth, learns = data.training.ranking.ids.shape[1], system == LEARNED
    cascade = two_stages(
        data,
        cutoff=min(2.0 * plan.cutoff, depth - 1) if learns else plan.cutoff,
        costs=costs,
        learn_cutoffs=learns,
        seed=seed,
    )
    budget = costs[0] * depth + costs[1] * plan.cutoff
    loss = _loss(system, budget=budget, plan=plan, depth=depth, second=setting.second)
    named = list(cascade.stages.named_parameters())
    groups = [
        {"params": [one for _, one in named if one.ndim == 2], "lr": setting.rate},
        {"params": [one for _, one in named if one.ndim < 2], "lr": 20 * setting.rate},
        # Without momentum a cut-off stops where the budget does.
        {"params": [cascade.log_cutoffs], "lr": 0.02, "betas": (0.0, 0.9)},
    ]
    optimizer = torch.optim.Adam(groups)
    start = time.perf_counter()
    cascade.train()
    for part in _batches(data.training, plan, seed=seed):
        optimizer.zero_grad()
        found = cascade.relaxed(part.rows, part.ranking)
        if isinstance(loss, CascadeLoss):
            loss(found, part.labels).backward()
        else:
            torch.stack([loss(scores, part.labels, found.mask) for scores in found.scores]).sum().backward()
        optimizer.step()
    return cascade.eval(), time.perf_counter() - start


def _loss(system: str, *, budget: float, plan: Training, depth: int, second: bool) -> nn.Module:
    """Of the whole cascade, or of each stage by itself."""
    softmax, by_ndcg = SoftmaxLoss(temperature=0.5 if second else 1.0), ApproxNDCG(temperature=0.3 if second else 0.1)
    gate = 0.3 if second else 1.0
    temperature = depth / (15 if second else 5)
    lcron = LCRONLoss(stages=2, k=(plan.cutoff, min(plan.cutoff, 5)), temperature=temperature)
    losses: dict[str, nn.Module] = {
        APART: softmax,
        APART_NDCG: by_ndcg,
        AS_ONE: CascadeLoss(SoftmaxLoss(), gate=gate),
        AS_ONE_NDCG: CascadeLoss(by_ndcg),
        LCRON: CascadeLoss(joint=lcron),
        LEARNED: CascadeLoss(SoftmaxLoss(), gate=gate, joint=lcron, budget=budget),
    }
    return losses[system]


def _batches(split: Split, plan: Training, *, seed: int) -> Iterator[Split]:
    """Queries with something to find among their candidates, in an order of the seed's."""
    generator = torch.Generator().manual_seed(seed)
    useful = (split.labels > 0).any(dim=1).nonzero().flatten()
    rows: list[int] = []
    for _ in range(plan.steps):
        while len(rows) < plan.batch:
            rows += useful[torch.randperm(len(useful), generator=generator)].tolist()
        chosen, rows = torch.tensor(rows[: plan.batch]), rows[plan.batch :]
        yield split.part(chosen)


def quality(scores: Tensor, split: Split) -> Tensor:
    """nDCG@10 of each query, by scores of its candidates."""
    return ndcg(scores, split.labels, split.ranking.mask, k=10, judged=split.judged)


@torch.no_grad()
def final_scores(cascade: Cascade, split: Split) -> Tensor:
    """The cascade's scores of each query's candidates: what it runs."""
    return aligned_scores(cascade(split.rows, split.ranking), split.ranking).masked_fill(~split.ranking.mask, 0.0)


@torch.no_grad()
def handed_on(cascade: Cascade, split: Split) -> float:
    """The share of the relevant candidates that reach the last stage."""
    first = aligned_scores(cascade.stages[0](split.rows, split.ranking), split.ranking)
    places = first.argsort(dim=1, descending=True, stable=True)[:, : cascade.hard_cutoffs[0]]
    relevant = (split.labels > 0).float()
    return float(relevant.gather(1, places).sum() / relevant.sum().clamp(min=1))


def one_by_one(ranking: Ranking, place: int, width: int | None = None) -> Ranking:
    """The ranking of one query."""
    return Ranking(*(field[place : place + 1, :width] for field in ranking))


@torch.no_grad()
def measured_costs(data: Cached, *, rounds: int) -> tuple[float, float]:
    """Milliseconds a document of each stage: the slope between few and all candidates of a query."""
    cascade, split = two_stages(data, cutoff=2, costs=(0, 0), learn_cutoffs=False, seed=0).eval(), data.test
    depth = split.ranking.ids.shape[1]
    few = max(depth // 5, 1)
    calls = {
        (place, width): lambda stage=stage, width=width: [
            stage(split.rows[query : query + 1], one_by_one(split.ranking, query, width))
            for query in range(min(len(split.rows), 20))
        ]
        for place, stage in enumerate(cascade.stages)
        for width in (few, depth)
    }
    names = {f"{place} {width}": call for (place, width), call in calls.items()}
    taken = {name: min(each) / min(len(split.rows), 20) for name, each in interleaved(names, rounds=rounds).items()}
    first, second = (
        max(taken[f"{place} {depth}"] - taken[f"{place} {few}"], 1e-6) / max(depth - few, 1) for place in range(2)
    )
    return first, second

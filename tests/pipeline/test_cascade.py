"""A cascade is hard when run, soft when trained, and a loss of its end reaches its beginning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.losses import LCRONLoss, MetricLoss, SoftmaxLoss, lcron_loss
from rankgrad.metrics import NDCG
from rankgrad.ops import soft_rank, soft_top_k
from rankgrad.pipeline import Cascade, CascadeLoss, CascadeScores, Cut, Pipeline, cascade_loss, soft_hand_over
from rankgrad.retrieve import BM25
from rankgrad.types import Ranking


class Weighted(nn.Module):
    """Scores ``features @ weights``, where the features of document d of query q are ``table[q, d]``."""

    def __init__(self, table: Tensor, weights: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("table", table)
        self.weights = nn.Parameter(torch.tensor(weights, dtype=table.dtype))
        self.seen: list[Ranking] = []

    def forward(self, queries: Sequence[str], ranking: Ranking) -> Ranking:
        self.seen.append(ranking)
        scores = (self.get_buffer("table") @ self.weights).gather(1, ranking.ids.clamp(min=0))
        scores = scores.masked_fill(~ranking.mask, -torch.inf)
        order = scores.argsort(dim=1, descending=True, stable=True)
        return Ranking(ranking.ids.gather(1, order), scores.gather(1, order), ranking.mask.gather(1, order))


QUERIES = ["one", "two", "three"]
DOCUMENTS = 9


def drawn(stages: int = 3, *, cutoffs: Sequence[float] = (5.0, 3.0), temperature: float = 0.3) -> Cascade:
    """Stages with three features each, in float64."""
    generator = torch.Generator().manual_seed(3)
    tables = [torch.randn(len(QUERIES), DOCUMENTS, 3, generator=generator, dtype=torch.float64) for _ in range(stages)]
    weights = torch.randn(stages, 3, generator=generator).tolist()
    parts = [Weighted(table, each) for table, each in zip(tables, weights, strict=True)]
    return Cascade(parts, cutoffs=cutoffs, costs=[0.5, 2.0, 10.0][:stages], temperature=temperature).double()


def incoming() -> Ranking:
    """All documents in a scrambled order; the last query has two fewer."""
    generator = torch.Generator().manual_seed(4)
    ids = torch.stack([torch.randperm(DOCUMENTS, generator=generator) for _ in QUERIES])
    mask = torch.ones(ids.shape, dtype=torch.bool)
    mask[-1, -2:] = False
    return Ranking(ids.masked_fill(~mask, -1), torch.zeros(ids.shape).masked_fill(~mask, -torch.inf), mask)


LABELS = torch.tensor([[1, 0, 0, 2, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0, 0, 2, 0], [0, 1, 0, 0, 0, 1, 0, 0, 0]])


def test_chances_sum_to_the_cut_off_at_every_stage() -> None:
    found = drawn().relaxed(QUERIES, incoming())
    totals = found.survival.sum(dim=-1).detach()
    expected = torch.tensor([[9, 9, 7], [5, 5, 5], [3, 3, 3]], dtype=torch.float64)
    assert torch.allclose(totals, expected, atol=1e-9)
    assert bool((found.survival[2] <= found.survival[1]).all())
    assert not found.survival[:, ~found.mask].any()
    # A list shorter than the cut-off is handed on whole.
    assert torch.equal(drawn(2, cutoffs=(8.0,)).relaxed(QUERIES, incoming()).survival[1, 2], found.mask[2].double())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_where_all_are_here_it_is_the_soft_top_k(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores, upstream = (torch.randn(3, 8, generator=generator, dtype=dtype) for _ in range(2))
    mask = torch.arange(8) < torch.tensor([[8], [6], [5]])
    found = []
    for hand_over in (True, False):
        x, k = scores.clone().requires_grad_(), torch.tensor(3.3, dtype=dtype, requires_grad=True)
        if hand_over:
            weights = soft_hand_over(x, mask.to(dtype), mask, k=k, temperature=0.4)
        else:
            weights = soft_top_k(x, k, temperature=0.4, relative=True, mask=mask)
        found.append((weights, *torch.autograd.grad((weights * upstream).sum(), (x, k))))
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6 if dtype == torch.float64 else 1e-5)


def test_hardened_it_is_what_is_run() -> None:
    cascade, ranking = drawn(temperature=1e-3), incoming()
    with torch.no_grad():
        found = cascade.relaxed(QUERIES, ranking)
        hard = cascade.eval()(QUERIES, ranking)
    for query in range(len(QUERIES)):
        alive = set(ranking.ids[query][found.survival[-1, query] > 0.5].tolist())
        assert alive == set(hard.ids[query, :3].tolist())
    soft_order = ranking.ids.gather(1, found.final().masked_fill(~ranking.mask, -torch.inf).argsort(1, descending=True))
    assert torch.equal(soft_order[:, :3], hard.ids[:, :3])


def test_run_it_asks_each_stage_about_what_was_handed_on_alone() -> None:
    cascade, ranking = drawn().eval(), incoming()
    with torch.no_grad():
        out = cascade(QUERIES, ranking)
    stages = [stage for stage in cascade.stages if isinstance(stage, Weighted)]
    assert [stage.seen[-1].ids.shape[1] for stage in stages] == [9, 5, 3]
    for query, real in enumerate(ranking.mask):
        alive: list[int] = ranking.ids[query][real].tolist()
        dropped: list[int] = []
        for stage, k in zip(stages, (9, 5, 3), strict=True):
            scores = (stage.get_buffer("table")[query] @ stage.weights).tolist()
            dropped = alive[k:] + dropped
            alive = sorted(alive[:k], key=lambda document: scores[document], reverse=True)
        assert out.ids[query][out.mask[query]].tolist() == alive + dropped
        falling = out.scores[query][out.mask[query]]
        assert bool((falling.diff() <= 0).all())


def test_the_final_metric_has_its_gradient_in_the_first_stage_and_in_the_cut_offs() -> None:
    cascade, ranking = drawn(), incoming()
    loss = CascadeLoss(MetricLoss(NDCG(k=3), ranker=partial(soft_rank, temperature=0.5, method="sigmoid")))
    names = ["stages.0.weights", "stages.1.weights", "stages.2.weights", "log_cutoffs"]
    values = [parameter.detach().clone().requires_grad_() for parameter in cascade.parameters()]
    assert sorted(name for name, _ in cascade.named_parameters()) == sorted(names)
    order = [name for name, _ in cascade.named_parameters()]

    def quality(*parameters: Tensor) -> Tensor:
        state = dict(zip(order, parameters, strict=True))
        found = torch.func.functional_call(Relaxed(cascade), {f"cascade.{k}": v for k, v in state.items()}, (ranking,))
        return loss(found, LABELS)

    assert torch.autograd.gradcheck(quality, values, eps=1e-6, atol=1e-6)
    gradients = torch.autograd.grad(quality(*values), values)
    assert all(float(gradient.abs().max()) > 1e-4 for gradient in gradients)


class Relaxed(nn.Module):
    """The soft form as a forward."""

    def __init__(self, cascade: Cascade) -> None:
        super().__init__()
        self.cascade = cascade

    def forward(self, ranking: Ranking) -> CascadeScores:
        return self.cascade.relaxed(QUERIES, ranking)


def test_what_is_far_below_the_cut_is_still_pulled_up() -> None:
    scores = torch.tensor([9.0, 8.0, 0.0, -9.0], dtype=torch.float64, requires_grad=True)
    real = torch.ones(4, dtype=torch.bool)
    chance = soft_hand_over(scores, real.double(), real, k=2, temperature=0.05)[3]
    (plain,) = torch.autograd.grad(chance, scores, retain_graph=True)
    (logarithm,) = torch.autograd.grad(chance.log(), scores)
    assert plain[3].abs() < 1e-9
    assert logarithm[3] > 0.1


def test_a_document_that_scores_nothing_is_not_handed_on() -> None:
    real = torch.ones(4, dtype=torch.bool)
    scores = torch.tensor([1.0, -torch.inf, 2.0, 0.5], requires_grad=True)
    chance = soft_hand_over(scores, real.float(), real, k=1.5, temperature=0.3)
    assert chance[1] == 0
    assert chance.sum().item() == pytest.approx(1.5, abs=1e-5)
    chance[0].backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert soft_hand_over(scores * torch.nan, real.float(), real, k=1.5, temperature=0.3).isnan().all()


def test_the_cost_is_of_what_enters_each_stage_and_falls_with_the_cut_offs() -> None:
    cascade = drawn()
    cost = cascade.expected_cost(100)
    assert cost.item() == pytest.approx(0.5 * 100 + 2.0 * 5 + 10.0 * 3)
    (gradient,) = torch.autograd.grad(cost, cascade.log_cutoffs)
    assert gradient.tolist() == pytest.approx([2.0 * (5 - 1), 10.0 * (3 - 1)])
    assert cascade.relaxed(QUERIES, incoming()).cost.tolist() == pytest.approx([44.5, 44.5, 43.5])
    # A later stage sees no more than an earlier one.
    assert drawn(cutoffs=(4.0, 7.0)).cutoffs.tolist() == pytest.approx([4, 4])


def test_a_loss_is_the_sum_of_its_terms() -> None:
    found = drawn(2, cutoffs=(4.0,)).relaxed(QUERIES, incoming())
    final = SoftmaxLoss()(found.scores[-1] + 0.7 * found.survival[-1].clamp(min=1e-30).log(), LABELS, found.mask)
    deviations = torch.stack(
        [
            torch.stack([row[real].std(correction=0) for row, real in zip(stage, found.mask, strict=True)])
            for stage in found.scores
        ]
    )
    joint = lcron_loss(found.scores / deviations.unsqueeze(-1), LABELS, found.mask, k=(4, 2), temperature=2.0)
    cost = torch.tensor([0.5 * 9 + 2 * 4, 0.5 * 9 + 2 * 4, 0.5 * 7 + 2 * 4]).mean()
    expected = final + 0.3 * joint + 0.2 * (cost / 5 - 1)
    options = {"joint": LCRONLoss(stages=2, k=(4, 2), temperature=2.0), "joint_weight": 0.3, "gate": 0.7}
    loss = CascadeLoss(SoftmaxLoss(), budget=5.0, cost_weight=0.2, **options)(found, LABELS)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    # Within the budget milliseconds are free; LCRON alone leaves the end out.
    within = cascade_loss(found, LABELS, joint=options["joint"], budget=100.0)  # type: ignore[arg-type]
    assert within.item() == pytest.approx(joint.item(), rel=1e-6)


def test_a_budget_is_met_by_lower_cut_offs() -> None:
    cascade = drawn(2, cutoffs=(8.0,))
    loss = CascadeLoss(budget=9.0, cost_weight=10.0)
    optimizer = torch.optim.Adam([cascade.log_cutoffs], lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        loss(cascade.relaxed(QUERIES, incoming()), LABELS).backward()
        optimizer.step()
    assert 1 < cascade.cutoffs.item() < 3.2
    fixed = Cascade(cascade.stages, cutoffs=[8], costs=[1, 1], learn_cutoffs=False)  # type: ignore[arg-type]
    assert not fixed.log_cutoffs.requires_grad


def test_the_state_holds_the_learned_cut_offs_and_the_costs() -> None:
    one, other = drawn(), drawn(cutoffs=(8.0, 7.0))
    with torch.no_grad():
        other.costs.zero_()
        one.stages[0].weights.neg_()  # type: ignore[operator, union-attr]
    other.load_state_dict(one.state_dict())
    assert other.hard_cutoffs == (5, 3)
    assert other.costs.tolist() == [0.5, 2.0, 10.0]
    with torch.no_grad():
        found = [each.eval()(QUERIES, incoming()) for each in (one, other)]
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))


def test_in_a_pipeline_it_trains_and_runs() -> None:
    documents = [f"{word} cat" for word in "abcdefghi"]
    cascade = drawn(2, cutoffs=(4.0,))
    pipeline = Pipeline(BM25(documents), rerank=[cascade], k=9)
    queries = ["cat", "cat", "cat"]
    ranking = pipeline.train()(queries)
    SoftmaxLoss()(ranking.scores, LABELS.gather(1, ranking.ids), ranking.mask).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in cascade.parameters())
    out = pipeline.eval()(queries)
    assert not out.scores.isinf().any()


def test_lists_without_a_document_cost_nothing() -> None:
    cascade, ranking = drawn(), incoming()
    ranking.mask[1] = False
    found = cascade.relaxed(QUERIES, Ranking(ranking.ids.masked_fill(~ranking.mask, -1), ranking.scores, ranking.mask))
    loss = cascade_loss(found, LABELS)
    loss.backward()
    assert loss.isfinite()
    assert all(
        bool(parameter.grad.isfinite().all()) for parameter in cascade.parameters() if parameter.grad is not None
    )


def short(stage: nn.Module) -> object:
    return Cascade([stage, Cut(3)], cutoffs=[5], costs=[1, 1]).relaxed(QUERIES, incoming())  # type: ignore[list-item]


def missing(queries: Sequence[str], ranking: Ranking) -> Ranking:
    return Ranking(*(field[:, :-1] for field in ranking))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda stage: Cascade([stage], cutoffs=[], costs=[1]), "stages: a cascade has at least 2, got 1"),
        (lambda stage: Cascade([stage] * 2, cutoffs=[], costs=[1, 1]), "cutoffs: expected 1 numbers above 1, got"),
        (lambda stage: Cascade([stage] * 2, cutoffs=[1], costs=[1, 1]), "cutoffs: expected 1 numbers above 1, got"),
        (lambda stage: Cascade([stage] * 2, cutoffs=[5], costs=[1]), "costs: expected 2 numbers of milliseconds"),
        (lambda stage: Cascade([stage] * 2, cutoffs=[5], costs=[1, -1]), "costs: expected 2 numbers"),
        (lambda stage: Cascade([stage] * 2, cutoffs=[5], costs=[1, 1], temperature=0), "temperature: expected"),
        (lambda stage: Cascade([stage, missing], cutoffs=[5], costs=[1, 1]).relaxed(QUERIES, incoming()), "raise its"),
        (lambda stage: short(stage), "Cut scores the first k=3 documents and is given 9: raise its k"),
        (lambda stage: CascadeLoss(budget=0.0), "budget: expected a number above 0"),
        (lambda stage: CascadeLoss(cost_weight=-1.0), "cost_weight: expected a number of at least 0"),
    ],
)
def test_bad_input(call: Callable[[nn.Module], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(drawn().stages[0])

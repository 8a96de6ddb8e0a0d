"""Gradients reach scores, weights and decays, and input that cannot be fused is refused."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.fuse import (
    BordaFusion,
    CopelandFusion,
    Judgements,
    LearnedFusion,
    RankBiasedCentroids,
    ReciprocalRankFusion,
    ScoreFusion,
    diagnose,
    explain,
    labels_of,
    normalise,
)
from rankgrad.fuse.align import on_one_device
from rankgrad.ops import soft_rank
from rankgrad.pipeline import Pipeline
from rankgrad.types import Queries, Ranking

from .fusion_lists import drawn, ranking_of

SOFT = partial(soft_rank, temperature=0.5)


class Linear(nn.Module):
    """A retriever with a parameter: scores of five documents for each query."""

    def __init__(self, base: list[float]) -> None:
        super().__init__()
        self.base = nn.Parameter(torch.tensor(base))

    def forward(self, queries: Queries, k: int) -> Ranking:
        scores, ids = self.base.sort(descending=True)
        rows = len(queries)
        return Ranking(ids[:k].expand(rows, k), scores[:k].expand(rows, k), torch.ones(rows, k, dtype=torch.bool))


@pytest.mark.parametrize("normalisation", ["none", "min_max", "z_score", "three_sigma", "sum", "sigmoid"])
@pytest.mark.parametrize("combine", ["sum", "mnz", "med", "min"])
def test_score_fusion_is_differentiable(combine: str, normalisation: str) -> None:
    rankings = drawn(2, 2, 4, 6)
    missing = [one.mask.logical_not() for one in rankings]

    def fused(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
        given = [
            one._replace(scores=scores.masked_fill(hole, -torch.inf))
            for one, scores, hole in zip(rankings, (first, second), missing, strict=True)
        ]
        out = ScoreFusion(combine=combine, normalisation=normalisation, weights=weights)(given)  # type: ignore[arg-type]
        return out.scores.masked_fill(~out.mask, 0.0)

    scores = [one.scores.masked_fill(~one.mask, 0.0).requires_grad_() for one in rankings]
    weights = torch.tensor([0.3, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fused, (*scores, weights))


def test_ranks_carry_gradients_to_decay_weights_and_through_soft_ranks_to_scores() -> None:
    rankings = [one._replace(scores=one.scores.clone().requires_grad_()) for one in drawn(3, 2, 5, 7)]
    k, p = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (2.0, 0.7))
    weights = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    soft = partial(SOFT, relative=True)
    for fusion in (
        ReciprocalRankFusion(k=k, weights=weights, ranker=soft),
        RankBiasedCentroids(persistence=p, weights=weights, ranker=soft),
    ):
        fused = fusion(rankings)
        (fused.scores[fused.mask] * torch.arange(1.0, 1 + int(fused.mask.sum()))).sum().backward()
    for leaf in (k, p, weights, *(one.scores for one in rankings)):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.abs().sum() > 0
    # An absent document at k + first_rank = 1 divides by nothing that is 0.
    k = torch.tensor(1.0, requires_grad=True)
    ReciprocalRankFusion(k=k, first_rank=0)(drawn(2, 2, 4, 9)).scores[:, 0].sum().backward()
    assert k.grad is not None
    assert k.grad.isfinite()


def test_soft_ranks_tend_to_the_places() -> None:
    rankings = drawn(4, 3, 6, 9)
    hard = ReciprocalRankFusion(k=5)(rankings)
    soft = ReciprocalRankFusion(k=5, ranker=partial(soft_rank, temperature=1e-6))(rankings)
    torch.testing.assert_close(hard.scores, soft.scores)
    assert torch.equal(hard.ids, soft.ids)


@pytest.mark.parametrize(
    "fusion", [ScoreFusion(), ReciprocalRankFusion(k=1, ranker=SOFT), LearnedFusion(2, soft_ranks=True)]
)
def test_a_pipeline_fuses_and_its_gradient_reaches_the_retrievers(fusion: nn.Module) -> None:
    first, second = Linear([0.1, 0.9, 0.3, 0.2, 0.8]), Linear([0.5, 0.1, 0.7, 0.2, 0.3])
    ranking = Pipeline([first, second], fuse=fusion, k=4)(["a query", "another"])
    assert ranking.ids.shape == (2, 4)
    assert ranking.mask.all()
    (ranking.scores * torch.tensor([1.0, 2.0, 4.0, 8.0])).sum().backward()
    for retriever in (first, second):
        assert retriever.base.grad is not None
        assert retriever.base.grad.abs().sum() > 0


def test_a_pipeline_of_reciprocal_ranks() -> None:
    pipeline = Pipeline([Linear([0.1, 0.9, 0.3]), Linear([0.5, 0.6, 0.7])], fuse=ReciprocalRankFusion(), k=2)
    ranking = pipeline(["a query"])
    # Lists 1 2 and 2 1: equal scores, the lower id first.
    assert ranking.ids.tolist() == [[1, 2]]
    assert ranking.scores.tolist() == [pytest.approx([1 / 61 + 1 / 62] * 2)]


GOOD = ranking_of([(1, 2.0), (2, 1.0)])
TWICE = Ranking(torch.tensor([[7, 7]]), torch.tensor([[2.0, 1.0]]), torch.ones(1, 2, dtype=torch.bool))
NAN = TWICE._replace(ids=torch.tensor([[7, 8]]), scores=torch.tensor([[2.0, torch.nan]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ReciprocalRankFusion()([]), "at least one Ranking"),
        (lambda: ReciprocalRankFusion()(GOOD), "wrap a single one in a list"),
        (lambda: ReciprocalRankFusion()([GOOD, TWICE]), "list 1 holds document 7 of query 0 more than once"),
        (lambda: ReciprocalRankFusion()([GOOD, NAN]), "a score of list 1 is NaN"),
        (lambda: ReciprocalRankFusion()([GOOD, drawn(3, 1, 4, 6)[0]]), "list 1 answers 3 queries, list 0 1"),
        (lambda: ReciprocalRankFusion()([TWICE._replace(ids=torch.tensor([[7, -1]]))]), "row numbers from 0"),
        (lambda: ReciprocalRankFusion(weights=(1, 2))([GOOD]), "one for each of the 1 lists"),
        (lambda: BordaFusion(weights=(0, 0))([GOOD, GOOD]), "one of them above 0"),
        (lambda: CopelandFusion(weights=(1, -1))([GOOD, GOOD]), "at least 0"),
        (lambda: ScoreFusion(weights=(1, float("nan")))([GOOD, GOOD]), "at least 0"),
        (lambda: ReciprocalRankFusion(k=-1), "k: expected a number above -1"),
        (lambda: ReciprocalRankFusion(k=torch.inf), "k: expected a number above -1"),
        (lambda: RankBiasedCentroids(persistence=1.0), "above 0 and below 1"),
        (lambda: ScoreFusion(combine="mean"), "combine: expected one of sum"),  # type: ignore[arg-type]
        (lambda: ScoreFusion(normalisation="max"), "normalisation: expected one of none"),  # type: ignore[arg-type]
        (lambda: ScoreFusion(clip=3.0), "clip=3.0 cuts z-scores, not 'min_max'"),
        (lambda: ScoreFusion(ranker=SOFT), "ranker takes ranks, which normalisation='min_max' does not look at"),
        (lambda: ScoreFusion(combine="max", missing="lowest"), 'belongs to combine="sum"'),
        (lambda: normalise(torch.tensor([1.0, torch.inf]), method="min_max"), "infinite"),
        (lambda: LearnedFusion(2)([GOOD]), "of 2 lists, got 1"),
        (lambda: LearnedFusion(2, method="borda"), "method: expected one of"),  # type: ignore[arg-type]
        (lambda: LearnedFusion(2, weights=(1, 2, 3)), "expected 2 numbers"),
        (lambda: LearnedFusion(2, method="score_sum", soft_ranks=True), "leave it out"),
        (lambda: diagnose([GOOD]), "at least two lists"),
        (lambda: explain(BordaFusion(), [GOOD], query=1), "a row from 0 to 0"),
        (lambda: explain(BordaFusion(), [GOOD], documents=[9]), "no list holds 9"),
        (lambda: labels_of(GOOD.ids, GOOD.mask, Judgements(*(torch.zeros(2, 1).long(),) * 3)), "judgements are of 2"),
    ],
)
def test_what_cannot_be_fused_is_refused(call: object, message: str) -> None:
    with pytest.raises(InputError) as caught:
        call()  # type: ignore[operator]
    assert message in str(caught.value)


def test_empty_lists_and_queries_without_documents() -> None:
    empty = ranking_of([], [], width=2)
    some = ranking_of([(4, 1.0), (2, 0.5)], [], width=2)
    for fusion in (ReciprocalRankFusion(), BordaFusion(), CopelandFusion(), ScoreFusion(), ScoreFusion(combine="med")):
        fused = fusion([empty, some])
        assert fused.ids.tolist() == [[4, 2], [-1, -1]]
        assert fused.mask.tolist() == [[True, True], [False, False]]
        assert fusion([empty, empty]).ids.shape == (2, 0)
    none = Ranking(*(field[:0] for field in some))
    assert ReciprocalRankFusion()([none, none]).ids.shape == (0, 0)


def test_rankings_go_to_the_device_of_the_first() -> None:
    one, other = ranking_of([(1, 5.0), (3, 4.0)]), ranking_of([(2, 0.5)])
    elsewhere = Ranking(*(field.to("meta") for field in one))
    assert {field.device.type for ranking in on_one_device([elsewhere, other]) for field in ranking} == {"meta"}
    assert all(here is there for here, there in zip(on_one_device([one, other])[1], other, strict=True))


def test_lists_without_a_common_document_interleave() -> None:
    one, other = ranking_of([(1, 5.0), (3, 4.0)]), ranking_of([(2, 0.5), (4, 0.4)])
    assert ReciprocalRankFusion()([one, other]).ids.tolist() == [[1, 2, 3, 4]]


def test_ranks_need_no_finite_scores() -> None:
    one = Ranking(torch.tensor([[5, 3]]), torch.tensor([[1.0, -torch.inf]]), torch.ones(1, 2, dtype=torch.bool))
    assert ReciprocalRankFusion(k=1)([one, one]).scores.tolist() == [pytest.approx([1, 2 / 3])]
    assert ScoreFusion(normalisation="rank")([one, one]).scores.tolist() == [[2.0, 1.0]]
    with pytest.raises(InputError, match="infinite"):
        ScoreFusion()([one, one])

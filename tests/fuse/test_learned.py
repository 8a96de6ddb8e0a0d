"""A learned fusion ends at or above its grid on validation queries, keeps what it learned, and explains itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.fuse import (
    BordaFusion,
    CopelandFusion,
    Judgements,
    LearnedFusion,
    ReciprocalRankFusion,
    ScoreFusion,
    diagnose,
    explain,
)
from rankgrad.fuse._fit import grid_of
from rankgrad.losses import ListMLELoss, MetricLoss
from rankgrad.metrics import NDCG, ReciprocalRank
from rankgrad.ops import soft_rank
from rankgrad.types import Ranking

from .fusion_lists import ranking_of

DOCUMENTS, DEPTH = 40, 25


def planted(
    queries: int, *, seed: int, noises: tuple[float, ...] = (0.8, 1.2, 3.0)
) -> tuple[list[Ranking], Judgements]:
    """Lists that see one relevance through noise; the best weights of a sum are as 1 / noise^2."""
    generator = torch.Generator().manual_seed(seed)
    relevance = torch.randn(queries, DOCUMENTS, generator=generator)
    lists = []
    for noise in noises:
        seen = relevance + noise * torch.randn(queries, DOCUMENTS, generator=generator)
        scores, ids = seen.sort(dim=1, descending=True)
        lists.append(Ranking(ids[:, :DEPTH], scores[:, :DEPTH], torch.ones(queries, DEPTH, dtype=torch.bool)))
    order = relevance.argsort(dim=1, descending=True)[:, :8]
    labels = torch.tensor([3, 2, 2, 1, 1, 1, 1, 1]).expand(queries, 8)
    return lists, Judgements(order, labels, torch.ones(queries, 8, dtype=torch.bool))


def quality(fusion: torch.nn.Module, rankings: list[Ranking], judged: Judgements) -> float:
    """nDCG@10 of the fused ranking, by way of dictionaries."""
    fused = fusion(rankings)
    values = torch.zeros(len(fused.ids))
    discounts = 1 / torch.log2(torch.arange(2.0, 12.0))
    for query in range(len(fused.ids)):
        grades = dict(zip(judged.ids[query].tolist(), judged.labels[query].tolist(), strict=True))
        gains = torch.tensor([float(grades.get(name, 0)) for name in fused.ids[query, :10].tolist()])
        ideal = judged.labels[query].float().sort(descending=True).values
        values[query] = (gains * discounts).sum() / (ideal * discounts[:8]).sum()
    return float(values.mean())


@pytest.mark.parametrize("method", ["reciprocal_rank", "rank_biased", "score_sum"])
def test_it_ends_at_or_above_the_grid_on_validation_queries(method: str) -> None:
    training, validation = planted(40, seed=0), planted(40, seed=1)
    fusion = LearnedFusion(3, method=method)  # type: ignore[arg-type]
    report = fusion.fit(*training, validation=validation, steps=20)
    searched = []
    for point in grid_of(fusion):
        other = LearnedFusion(3, method=method)  # type: ignore[arg-type]
        other.set(**point._asdict())
        searched.append(quality(other, *validation))
    assert report.grid_points == len(searched)
    assert report.grid == pytest.approx(max(searched), abs=1e-6)
    assert report.best == pytest.approx(quality(fusion, *validation), abs=1e-6)
    assert report.best >= report.grid
    weights = fusion.weights.tolist()
    # The best of a sum are 0.66, 0.29 and 0.05; which of the first two gets more depends on the drawn queries.
    assert weights[2] < 0.2 < min(weights[:2])
    assert not any(parameter.grad is not None for parameter in fusion.parameters())


@pytest.mark.parametrize(
    "loss",
    [ListMLELoss(), MetricLoss(NDCG(k=10), ranker=partial(soft_rank, temperature=0.3))],
    ids=["ListMLE", "MetricLoss"],
)
def test_gradients_alone_find_the_list_to_trust(loss: torch.nn.Module) -> None:
    training, validation = planted(80, seed=2, noises=(8.0, 0.5)), planted(80, seed=3, noises=(8.0, 0.5))
    fusion = LearnedFusion(2, soft_ranks=True)
    before = quality(fusion, *validation)
    report = fusion.fit(
        *training, validation=validation, loss=loss, metric=NDCG(k=10), steps=40, learning_rate=0.1, grid=False
    )
    assert report.grid_points == 0
    assert report.best_step > 0
    assert quality(fusion, *validation) > before + 0.02
    assert fusion.weights[1] > 0.7


def test_state_comes_back(tmp_path: Path) -> None:
    training = planted(20, seed=4)
    fusion = LearnedFusion(3, method="score_sum")
    fusion.fit(*training, steps=2, metric=ReciprocalRank())
    torch.save(fusion.state_dict(), tmp_path / "fusion.pt")
    other = LearnedFusion(3, method="score_sum")
    other.load_state_dict(torch.load(tmp_path / "fusion.pt"))
    for left, right in zip(fusion(training[0]), other(training[0]), strict=True):
        assert torch.equal(left, right)


def test_what_cannot_be_fitted_is_refused() -> None:
    rankings, judged = planted(4, seed=5)
    fusion = LearnedFusion(3)
    with pytest.raises(InputError, match="no list holds a relevant document"):
        fusion.fit(rankings, judged._replace(ids=judged.ids + 1000))
    with pytest.raises(InputError, match="steps"):
        fusion.fit(rankings, judged, steps=-1)
    with pytest.raises(InputError, match="of 3 lists, got 2"):
        fusion.fit(rankings[:2], judged)


@pytest.mark.parametrize(
    "fusion", [ReciprocalRankFusion(k=1), BordaFusion(), CopelandFusion(), ScoreFusion(combine="max")]
)
def test_an_explanation_sums_to_the_score(fusion: torch.nn.Module, three: list[Ranking]) -> None:
    found = explain(fusion, three, k=None)  # type: ignore[arg-type]
    fused = fusion(three)
    assert [each.id for each in found] == fused.ids[0].tolist()
    assert [each.rank for each in found] == [1, 2, 3, 4]
    for each, score in zip(found, fused.scores[0].tolist(), strict=True):
        assert each.score == score
        assert sum(source.contribution for source in each.sources) == pytest.approx(score)
    (one,) = explain(fusion, three, documents=[4])  # type: ignore[arg-type]
    assert one.held_by == 1
    assert [(source.rank, source.score) for source in one.sources] == [(None, None), (3.0, 0.1), (None, None)]


def test_diagnosis(three: list[Ranking]) -> None:
    judged = Judgements(torch.tensor([[1, 4, 3]]), torch.tensor([[1, 2, 0]]), torch.ones(1, 3, dtype=torch.bool))
    found = diagnose(three, judged)
    # Lists 1 and 2 share 2 and 3 of 1 2 3 4, in one order; relevant 1 and 4 each in one of them.
    assert found.overlap[0].tolist() == pytest.approx([1, 2 / 4, 2 / 3])
    assert found.agreement[0].tolist() == [1, 1, -1]
    assert found.complementarity is not None
    assert found.complementarity[0].tolist() == [0, 1, 0]
    # Lists 2 and 3 share one document: no pair to agree on.
    assert found.agreement[1, 2].isnan()
    assert found.suggestion.startswith("Fuse: 67% of the relevant")
    assert diagnose(three, k=1).overlap[0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("other", "start"),
    [
        ([(1, 3.0), (2, 2.0), (3, 1.0)], "Fusing hardly pays"),
        ([(7, 3.0), (8, 2.0), (9, 1.0)], "The lists hardly overlap (0%)"),
        ([(3, 3.0), (2, 2.0), (9, 1.0)], "The lists share 50%"),
    ],
)
def test_suggestions_without_judgements(other: list[tuple[int, float]], start: str) -> None:
    one = ranking_of([(1, 9.0), (2, 6.0), (3, 5.0)])
    assert diagnose([one, ranking_of(other)]).suggestion.startswith(start)

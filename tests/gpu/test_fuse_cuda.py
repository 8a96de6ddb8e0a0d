"""Fusions of rankings on a GPU, or on two devices, give what they give on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import nn

from rankgrad.fuse import (
    BordaFusion,
    CondorcetFusion,
    Judgements,
    LearnedFusion,
    MedianRankFusion,
    RankBiasedCentroids,
    ReciprocalRankFusion,
    ScoreFusion,
    diagnose,
    explain,
)
from rankgrad.types import Ranking

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: bash benchmarks/gpu.sh")

FUSIONS: dict[str, Callable[[], nn.Module]] = {
    "reciprocal": lambda: ReciprocalRankFusion(k=torch.tensor(3.0), weights=torch.tensor([1.0, 2.0])),
    "biased": lambda: RankBiasedCentroids(persistence=torch.tensor(0.8)),
    "scores": lambda: ScoreFusion(normalisation="z_score", missing="lowest"),
    "borda": BordaFusion,
    "median": MedianRankFusion,
    "condorcet": CondorcetFusion,
    "learned": lambda: LearnedFusion(2, soft_ranks=True, weights=(1, 3)),
}


def drawn() -> list[Ranking]:
    generator = torch.Generator().manual_seed(0)
    found = []
    for width in (6, 4):
        ids = torch.rand(3, 9, generator=generator).argsort(dim=1)[:, :width]
        scores = torch.randn(3, width, generator=generator).sort(dim=1, descending=True).values
        found.append(Ranking(ids, scores, torch.ones(3, width, dtype=torch.bool)))
    return found


def moved(rankings: Sequence[Ranking], *devices: str) -> list[Ranking]:
    pairs = zip(rankings, devices, strict=True)
    return [Ranking(*(field.to(device) for field in ranking)) for ranking, device in pairs]


def judged() -> Judgements:
    ids = torch.arange(9).repeat(3, 1)
    return Judgements(ids, (ids % 4 == 0).float(), torch.ones(3, 9, dtype=torch.bool))


@pytest.mark.parametrize("devices", [("cuda", "cuda"), ("cuda", "cpu"), ("cpu", "cuda")])
@pytest.mark.parametrize("kind", FUSIONS)
def test_a_fusion(kind: str, devices: tuple[str, str]) -> None:
    expected = FUSIONS[kind]()(drawn())
    found = FUSIONS[kind]()(moved(drawn(), *devices))
    assert {field.device.type for field in found} == {devices[0]}
    torch.testing.assert_close(found.scores.cpu(), expected.scores, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.ids.cpu(), expected.ids)


@pytest.mark.parametrize("devices", [("cuda", "cuda"), ("cpu", "cuda")])
@pytest.mark.parametrize("there", [False, True])
def test_learning_from_judgements_on_the_cpu(there: bool, devices: tuple[str, str]) -> None:
    expected, found = (LearnedFusion(2, method="score_sum") for _ in range(2))
    found = found.cuda() if there else found
    one = expected.fit(drawn(), judged(), steps=3, validation=(drawn(), judged()))
    other = found.fit(moved(drawn(), *devices), judged(), steps=3, validation=(drawn(), judged()))
    assert other.best == pytest.approx(one.best, abs=1e-5)
    torch.testing.assert_close(found.weights.cpu(), expected.weights, rtol=1e-3, atol=1e-4)


def test_what_is_said_of_lists_on_two_devices() -> None:
    rankings = moved(drawn(), "cuda", "cpu")
    expected, found = (diagnose(each, judged()) for each in (drawn(), rankings))
    torch.testing.assert_close(found.overlap, expected.overlap)
    torch.testing.assert_close(found.complementarity, expected.complementarity)
    fusion = ReciprocalRankFusion()
    assert [each.id for each in explain(fusion, rankings)] == [each.id for each in explain(fusion, drawn())]

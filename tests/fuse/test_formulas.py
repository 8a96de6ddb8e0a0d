"""Every method's formula, worked by hand on three short lists, and the laws that all of them keep."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch

from rankgrad.fuse import (
    AdditiveMultiTaskFusion,
    BordaFusion,
    CondorcetFusion,
    CopelandFusion,
    DistributionFusion,
    InverseSquareRankFusion,
    LearnedFusion,
    MedianRankFusion,
    RankBiasedCentroids,
    ReciprocalRankFusion,
    ScoreFusion,
    StandardisedFusion,
    align,
    normalise,
)
from rankgrad.types import Ranking

from .fusion_lists import drawn, ranking_of

# min-max: list 1 gives 1, 1/4, 0; list 2 gives 1, 3/4, 0; list 3 gives 1, 0.
SUM = {1: 1 + 0, 2: 1 / 4 + 1, 3: 0 + 3 / 4 + 1, 4: 0}
HELD = {1: 2, 2: 2, 3: 3, 4: 1}
ISR = {1: 1 + 1 / 4, 2: 1 / 4 + 1, 3: 1 / 9 + 1 / 4 + 1, 4: 1 / 9}
SIGMA = math.sqrt(1 / 2)  # of 2 and 1 by n - 1
FIRST, SECOND = (9.0, 6.0, 5.0), (0.5, 0.4, 0.1)


def three_sigma(values: tuple[float, ...], value: float) -> float:
    mean = sum(values) / len(values)
    sigma = math.sqrt(sum((each - mean) ** 2 for each in values) / (len(values) - 1))
    return (value - mean + 3 * sigma) / (6 * sigma)


def z_score(values: tuple[float, ...], value: float) -> float:
    mean = sum(values) / len(values)
    return (value - mean) / math.sqrt(sum((each - mean) ** 2 for each in values) / len(values))


CASES = {
    "rrf": (
        ReciprocalRankFusion(k=60),
        {1: 1 / 61 + 1 / 62, 2: 1 / 62 + 1 / 61, 3: 1 / 63 + 1 / 62 + 1 / 61, 4: 1 / 63},
    ),
    "rrf from 0": (ReciprocalRankFusion(k=1, first_rank=0), {1: 3 / 2, 2: 3 / 2, 3: 1 / 3 + 1 / 2 + 1, 4: 1 / 3}),
    "rrf weighted": (
        ReciprocalRankFusion(k=1, weights=(1, 2, 0)),
        {1: 1 / 2, 2: 1 / 3 + 2 / 2, 3: 1 / 4 + 2 / 3, 4: 2 / 4},
    ),
    "isr": (InverseSquareRankFusion(), {name: HELD[name] * ISR[name] for name in ISR}),
    "log isr": (
        InverseSquareRankFusion(variant="log_isr"),
        {name: math.log(HELD[name]) * ISR[name] for name in ISR},
    ),
    "log n isr": (
        InverseSquareRankFusion(variant="log_n_isr", sigma=0.5),
        {name: math.log(HELD[name] + 0.5) * ISR[name] for name in ISR},
    ),
    "rbc": (
        RankBiasedCentroids(persistence=0.8),
        {1: 0.2 + 0.16, 2: 0.16 + 0.2, 3: 0.128 + 0.16 + 0.2, 4: 0.128},
    ),
    # Four candidates: a list of three leaves 1 point, one of two leaves (4 - 2 + 1) / 2.
    "borda": (BordaFusion(), {1: 4 + 1 + 3, 2: 3 + 4 + 1.5, 3: 2 + 3 + 4, 4: 1 + 2 + 1.5}),
    # A circle: 1 beats 2 by lists 1 and 3, 2 beats 3 by lists 1 and 2, 3 beats 1 by lists 2 and 3; all beat 4.
    "condorcet": (CondorcetFusion(), {1: 2, 2: 2, 3: 2, 4: 0}),
    "copeland": (CopelandFusion(), {1: 2 - 1, 2: 2 - 1, 3: 2 - 1, 4: -3}),
    # With list 1 alone counting, its order wins; it does not hold 4.
    "copeland weighted": (CopelandFusion(weights=(5, 1, 1)), {1: 3, 2: 1, 3: -1, 4: -3}),
    "median rank": (MedianRankFusion(), {1: -2, 2: -2, 3: -2, 4: -3}),
    "sum": (ScoreFusion(), SUM),
    "weighted sum": (ScoreFusion(weights=(1, 2, 4)), {1: 1, 2: 1 / 4 + 2, 3: 6 / 4 + 4, 4: 0}),
    "mnz": (ScoreFusion(combine="mnz"), {name: SUM[name] * HELD[name] for name in SUM}),
    "anz": (ScoreFusion(combine="anz"), {name: SUM[name] / HELD[name] for name in SUM}),
    "max": (ScoreFusion(combine="max"), {1: 1, 2: 1, 3: 1, 4: 0}),
    "min": (ScoreFusion(combine="min"), {1: 0, 2: 1 / 4, 3: 0, 4: 0}),
    "med": (ScoreFusion(combine="med"), {1: 1 / 2, 2: 5 / 8, 3: 3 / 4, 4: 0}),
    "dbsf": (
        DistributionFusion(),
        {
            1: three_sigma(FIRST, 9.0) + three_sigma((2.0, 1.0), 1.0),
            2: three_sigma(FIRST, 6.0) + three_sigma(SECOND, 0.5),
            3: three_sigma(FIRST, 5.0) + three_sigma(SECOND, 0.4) + (0.5 + 3 * SIGMA) / (6 * SIGMA),
            4: three_sigma(SECOND, 0.1),
        },
    ),
    "standardised": (
        StandardisedFusion(clip=1.0, missing="zero"),
        {
            1: 1 - 1,
            2: z_score(FIRST, 6.0) + z_score(SECOND, 0.5),
            3: z_score(FIRST, 5.0) + z_score(SECOND, 0.4) + 1,
            4: -1,
        },
    ),
    "standardised, lowest where missing": (
        StandardisedFusion(clip=None),
        {
            1: z_score(FIRST, 9.0) + z_score(SECOND, 0.1) - 1,
            2: z_score(FIRST, 6.0) + z_score(SECOND, 0.5) - 1,
            3: z_score(FIRST, 5.0) + z_score(SECOND, 0.4) + 1,
            4: z_score(FIRST, 5.0) + z_score(SECOND, 0.1) - 1,
        },
    ),
    "additive": (
        AdditiveMultiTaskFusion(weights=(1, 20, 3), normalisation="none"),
        {1: 9 + 3, 2: 6 + 10, 3: 5 + 8 + 6, 4: 2},
    ),
    "learned": (
        LearnedFusion(3, weights=(1, 2, 1), k=1.0),
        {1: (1 / 2 + 1 / 3) / 4, 2: (1 / 3 + 2 / 2) / 4, 3: (1 / 4 + 2 / 3 + 1 / 2) / 4, 4: (2 / 4) / 4},
    ),
    "learned rbc": (
        LearnedFusion(3, method="rank_biased", persistence=0.5),
        {1: (1 / 2 + 1 / 4) / 3, 2: (1 / 4 + 1 / 2) / 3, 3: (1 / 8 + 1 / 4 + 1 / 2) / 3, 4: (1 / 8) / 3},
    ),
}
cases = partial(pytest.mark.parametrize, "name", list(CASES))


@cases()
def test_scores_are_the_formula(name: str, three: list[Ranking], as_dict: Callable[..., dict[int, float]]) -> None:
    fusion, wanted = CASES[name]
    fused = as_dict(fusion(three))
    # Parameters are float32.
    assert fused == pytest.approx(wanted, abs=1e-6 if name.startswith("learned") else 1e-12)
    order = list(fused)
    assert order == sorted(order, key=lambda document: (-fused[document], document))


@cases()
def test_what_lists_add_sums_to_the_score(name: str) -> None:
    fusion, rankings = CASES[name][0], drawn(4, 3, 6, 9)
    aligned = align(rankings)
    parts = fusion.contributions(aligned)
    fused = fusion(rankings)
    assert parts.shape == aligned.scores.shape
    for query in range(4):
        wanted = dict(zip(aligned.ids[query].tolist(), parts[query].sum(dim=0).tolist(), strict=True))
        real = fused.mask[query]
        for document, score in zip(fused.ids[query][real].tolist(), fused.scores[query][real].tolist(), strict=True):
            assert score == pytest.approx(wanted[document], abs=1e-6)


@cases()
def test_padding_and_neighbours_change_nothing(name: str) -> None:
    fusion, rankings = CASES[name][0], drawn(5, 3, 6, 9, seed=1)
    fused = fusion(rankings)
    wide = [
        Ranking(*(torch.cat([field, fill.expand(5, 3)], dim=1) for field, fill in zip(one, FILLS, strict=True)))
        for one in rankings
    ]
    for left, right in zip(fused, fusion(wide), strict=True):
        assert torch.equal(left, right)
    alone = fusion([Ranking(*(field[2:3] for field in one)) for one in rankings])
    count = int(alone.mask.sum())
    assert torch.equal(alone.ids[0, :count], fused.ids[2, :count])
    assert torch.equal(alone.scores[0, :count], fused.scores[2, :count])


FILLS = (torch.tensor([[-1]]), torch.tensor([[-torch.inf]], dtype=torch.float64), torch.tensor([[False]]))


@pytest.mark.parametrize(
    "make",
    [
        lambda weights: ReciprocalRankFusion(weights=weights),
        lambda weights: BordaFusion(weights=weights),
        lambda weights: CopelandFusion(weights=weights),
        lambda weights: ScoreFusion(weights=weights),
        lambda weights: LearnedFusion(3, method="score_sum", weights=weights),
        lambda weights: LearnedFusion(3, soft_ranks=True, weights=weights),
    ],
)
def test_lists_may_change_places_with_their_weights(make: Callable[..., torch.nn.Module]) -> None:
    rankings, weights = drawn(6, 3, 5, 8, seed=2), (0.5, 2.0, 1.0)
    order = (2, 0, 1)
    one = make(weights)(rankings)
    other = make([weights[place] for place in order])([rankings[place] for place in order])
    assert torch.equal(one.mask, other.mask)
    torch.testing.assert_close(one.scores, other.scores, rtol=1e-6, atol=1e-9)


def test_equal_scores_come_in_order_of_ids(as_dict: Callable[..., dict[int, float]]) -> None:
    rankings = [ranking_of([(9, 3.0), (4, 2.0)]), ranking_of([(4, 3.0), (9, 2.0)]), ranking_of([(2, 1.0)], width=2)]
    assert list(as_dict(ReciprocalRankFusion(k=1)(rankings))) == [4, 9, 2]
    # Plus and minus zero are one score; so are equal float32 scores, which take another way to be sorted.
    level = Ranking(torch.tensor([[5, 3, 8]]), torch.tensor([[0.0, -0.0, -1.0]]), torch.ones(1, 3, dtype=torch.bool))
    assert ScoreFusion(normalisation="none")([level]).ids.tolist() == [[3, 5, 8]]


@pytest.mark.parametrize("first", [10**6, 10**12])
def test_ids_may_lie_far_apart(first: int) -> None:
    """Few ids are found by a table, others by sorting them in 32 or 64 bits."""
    rankings = drawn(4, 3, 6, 9, seed=4)
    near, far = (
        ReciprocalRankFusion()([one._replace(ids=one.ids * step + start) for one in rankings])
        for step, start in ((1, 0), (3, first))
    )
    assert torch.equal(far.ids[far.mask], near.ids[near.mask] * 3 + first)
    assert torch.equal(far.mask, near.mask)
    assert torch.equal(far.scores, near.scores)


def test_one_list_keeps_its_order() -> None:
    (one,) = drawn(4, 1, 7, 9, seed=3)
    for fusion in (ReciprocalRankFusion(), BordaFusion(), CopelandFusion(), ScoreFusion(), MedianRankFusion()):
        fused = fusion([one])
        count = int(one.mask.sum(dim=1).max())
        assert torch.equal(fused.ids, one.ids[:, :count])
        assert torch.equal(fused.mask, one.mask[:, :count])


@pytest.mark.parametrize(
    ("method", "wanted"),
    [
        ("none", [8.0, 4.0, 2.0]),
        ("min_max", [1.0, 1 / 3, 0.0]),
        ("z_score", [z_score((8.0, 4.0, 2.0), each) for each in (8.0, 4.0, 2.0)]),
        ("three_sigma", [three_sigma((8.0, 4.0, 2.0), each) for each in (8.0, 4.0, 2.0)]),
        ("sum", [6 / 8, 2 / 8, 0.0]),
        ("rank", [1.0, 2 / 3, 1 / 3]),
        ("quantile", [1.0, 1 / 2, 0.0]),
        ("sigmoid", [1 / (1 + math.exp(-each / 4)) for each in (8.0, 4.0, 2.0)]),
    ],
)
def test_normalisations(method: str, wanted: list[float]) -> None:
    scores = torch.tensor([[8.0, 99.0, 4.0, 2.0]], dtype=torch.float64)
    mask = torch.tensor([[True, False, True, True]])
    found = normalise(scores, mask, method=method, temperature=4.0)  # type: ignore[arg-type]
    assert found[mask].tolist() == pytest.approx(wanted, abs=1e-12)
    assert found[~mask].tolist() == [0.0]


@pytest.mark.parametrize(
    ("method", "wanted"), [("min_max", 1.0), ("z_score", 0.0), ("three_sigma", 0.5), ("sum", 1 / 3)]
)
def test_lists_without_spread_have_a_value_and_a_finite_gradient(method: str, wanted: float) -> None:
    scores = torch.full((3,), 0.1, requires_grad=True)
    found = normalise(scores, method=method)  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([wanted] * 3)
    found.sum().backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_weighted_votes_that_are_equal_but_for_rounding_are_no_majority(
    as_dict: Callable[..., dict[int, float]],
) -> None:
    # 0.1 + 0.2 is above 0.3 in double precision.
    one, other = ranking_of([(1, 2.0), (2, 1.0)]), ranking_of([(2, 2.0), (1, 1.0)])
    assert as_dict(CopelandFusion(weights=(0.1, 0.2, 0.3))([one, one, other])) == {1: 0, 2: 0}

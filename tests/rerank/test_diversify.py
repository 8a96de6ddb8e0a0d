"""MMR and DPP against their definitions by brute force, and as stages."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.rerank import DPP, MMR, select_by_determinant, select_by_marginal_relevance
from rankgrad.types import Ranking

TRADE_OFFS = [0.0, 0.3, 0.7, 1.0]


def problem(seed: int, queries: int = 4, items: int = 7, dim: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(queries, items, dim, generator=generator, dtype=torch.float64), dim=-1)
    relevance = torch.rand(queries, items, generator=generator, dtype=torch.float64)
    mask = torch.ones(queries, items, dtype=torch.bool)
    mask[0, 2] = mask[1, 4:] = False
    return relevance, vectors @ vectors.transpose(1, 2), mask


def greedy(gain, mask: list[bool], k: int) -> list[int]:
    """The item of the largest gain given those chosen, one after another; masked ones at the end."""
    chosen: list[int] = []
    for real in (True, False):
        left = [item for item in range(len(mask)) if mask[item] is real]
        while left and len(chosen) < k:
            best = max(left, key=lambda item: gain(chosen, item))
            chosen.append(best)
            left.remove(best)
    return chosen


@pytest.mark.parametrize("trade_off", TRADE_OFFS)
def test_mmr_is_its_definition(trade_off: float) -> None:
    relevance, similarity, mask = problem(0)
    found = select_by_marginal_relevance(relevance, similarity, mask, 5, trade_off=trade_off)
    for row in range(4):

        def gain(chosen: list[int], item: int, row: int = row) -> float:
            nearest = max((float(similarity[row, item, one]) for one in chosen), default=0.0)
            return trade_off * float(relevance[row, item]) - (1 - trade_off) * nearest

        real = int(mask[row].sum())
        assert found[row].tolist()[:real] == greedy(gain, mask[row].tolist(), 5)[:real]
        assert len(set(found[row].tolist())) == 5


@pytest.mark.parametrize("trade_off", TRADE_OFFS)
def test_dpp_grows_the_determinant_of_its_kernel(trade_off: float) -> None:
    relevance, similarity, mask = problem(1)
    found = select_by_determinant(relevance, similarity, mask, 4, trade_off=trade_off)
    for row in range(4):

        def gain(chosen: list[int], item: int, row: int = row) -> float:
            members = [*chosen, item]
            volume = float(torch.linalg.slogdet(similarity[row][members][:, members]).logabsdet)
            return trade_off * float(relevance[row, members].sum()) + (1 - trade_off) * volume

        real = min(4, int(mask[row].sum()))
        assert found[row].tolist()[:real] == greedy(gain, mask[row].tolist(), 4)[:real]


def test_the_greedy_set_has_the_share_of_the_best_that_the_theorem_promises() -> None:
    # For a kernel with eigenvalues of 1 and more log det is monotone and submodular: greedy reaches 1 - 1 / e.
    relevance, similarity, mask = problem(2, queries=6)
    kernel = similarity + torch.eye(7, dtype=torch.float64)
    found = select_by_determinant(relevance, kernel, mask, 3, trade_off=0.0)
    for row in range(2, 6):
        volumes = [
            float(torch.logdet(kernel[row][list(members)][:, list(members)]))
            for members in itertools.combinations(range(7), 3)
        ]
        own = found[row]
        assert float(torch.logdet(kernel[row][own][:, own])) >= (1 - 1 / math.e) * max(volumes)


@pytest.mark.parametrize("stage", [MMR, DPP])
def test_repetitions_and_huge_scores_come_out_finite_and_apart(stage: type[MMR] | type[DPP]) -> None:
    embeddings = torch.tensor([[3.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0], [0.0, 5.0, 0.0]])
    scores = torch.tensor([[3e38, 2.9e38, 2.0e38, 1.0e38, 0.0]])
    incoming = Ranking(torch.tensor([[0, 1, 2, 3, 4]]), scores, torch.ones(1, 5).bool())
    outgoing = stage(embeddings, k=5, trade_off=0.3)(["a query"], incoming)
    assert outgoing.ids.tolist() == [[0, 2, 3, 1, 4]]
    assert outgoing.scores.isfinite().all()


@pytest.mark.parametrize("stage", [MMR, DPP])
def test_a_stage_keeps_masks_tails_and_groups(
    stage: type[MMR] | type[DPP], incoming: Ranking, monkeypatch: pytest.MonkeyPatch
) -> None:
    embeddings = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    kept = stage(embeddings, k=3, candidates=4, trade_off=1.0)(["a", "b"], incoming)
    assert torch.equal(kept.ids.masked_fill(~kept.mask, 0), incoming.ids.masked_fill(~incoming.mask, 0))
    assert torch.equal(kept.mask, incoming.mask)
    assert (kept.scores[:, 1:] <= kept.scores[:, :-1]).all()
    moved = stage(embeddings, k=3, candidates=4, trade_off=0.2)(["a", "b"], incoming)
    assert sorted(moved.ids[0].tolist()) == sorted(incoming.ids[0].tolist())
    assert moved.ids[0, 4] == incoming.ids[0, 4]
    monkeypatch.setattr("rankgrad.rerank._diversity._GROUP_ELEMENTS", 1)
    alone = stage(embeddings, k=3, candidates=4, trade_off=0.2)(["a", "b"], incoming)
    assert torch.equal(alone.ids, moved.ids)


@pytest.mark.parametrize("stage", [MMR, DPP])
def test_bad_input(stage: type[MMR] | type[DPP], incoming: Ranking) -> None:
    table = torch.ones(6, 2)
    for options, message in [
        ({"embeddings": torch.tensor([[torch.nan]])}, "finite values"),
        ({"embeddings": torch.ones(0, 2)}, r"expected \[documents, dim\]"),
        ({"k": 0}, "k=0 must lie between 1 and candidates=100"),
        ({"trade_off": 1.5}, "trade_off=1.5 must lie between 0"),
    ]:
        with pytest.raises(InputError, match=message):
            stage(**({"embeddings": table} | options))
    with pytest.raises(InputError, match="names a document twice"):
        stage(table)(["a", "b"], incoming._replace(ids=incoming.ids.clamp(max=1)))
    with pytest.raises(InputError, match="this stage holds 3 documents"):
        stage(torch.ones(3, 2))(["a", "b"], incoming)

"""The benchmark of losses: its formulas hold, and a quick run agrees and measures."""

from __future__ import annotations

from math import log, log2

import pytest
import torch
from torch.testing import assert_close

from benchmarks import losses as case
from benchmarks import losses_definitions as definitions
from benchmarks import losses_memory_worker, losses_worker
from benchmarks.losses_providers import PLAIN, Loss, Provider, losses
from benchmarks.losses_worker import GRADIENT, PEAK, TIME, Setting, agreement, candidates
from benchmarks.options import Options
from benchmarks.parity import DisagreementError


def test_definitions_of_two_items() -> None:
    gap = torch.tensor(0.7, dtype=torch.float64)
    scores, labels = torch.stack([gap, 0 * gap])[None], torch.tensor([[0.0, 1.0]])
    discount = 1 - 1 / log2(3)
    # One pair at distance 1, the wrong way round: both weights are the same difference of discounts.
    assert_close(definitions.lambda_loss(scores, labels), 11 * discount * (1 + gap.exp()).log() / log(2))
    assert_close(definitions.approx_ndcg(scores, labels), 1 - 1 / torch.log2(2 + gap.sigmoid()))
    assert_close(definitions.list_mle(scores, labels), (1 + gap.exp()).log())
    # Its NeuralSort matrix is doubly stochastic already: the iterations change nothing.
    assert_close(definitions.neural_ndcg(scores, labels), 1 - ((-gap).sigmoid() + gap.sigmoid() / log2(3)))


def test_who_disagrees_and_who_would_not_fit_gets_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = Provider("peer", "torch", lambda labels: lambda scores: scores.sum(), matrices=100)
    loss = Loss("ListMLE", definitions.list_mle, (wrong,), distinct_labels=True)
    with pytest.raises(DisagreementError, match="peer: sum differs by"):
        agreement(Setting(loss, 2, 5, "two"), wrong, "cpu")
    assert candidates(Setting(loss, 16, 1000, "long"), "cpu") == []
    assert "left out: peer, long: it would hold 6,104 MiB" in capsys.readouterr().out


@pytest.mark.slow
def test_a_quick_run(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {"benchmarks.losses_worker": losses_worker, "benchmarks.losses_memory_worker": losses_memory_worker}
    monkeypatch.setattr(
        case, "run_worker", lambda module, job, threads: workers[module].work(job | {"threads": threads})
    )
    monkeypatch.setattr(definitions, "ITERATIONS", 3)
    monkeypatch.setattr(losses_memory_worker, "give_back_at_once", lambda: None)
    rows = case.run(Options(quick=True))
    for provider in ("rankgrad", PLAIN):
        own = [row for row in rows if row.provider.startswith(provider)]
        assert {row.metric for row in own} >= {TIME, PEAK, GRADIENT}
        for metric in (TIME, PEAK):
            found = [row for row in own if row.metric == metric]
            assert len({row.setting for row in found}) == len(losses())
            assert all(row.p50 > 0 for row in found) or metric == PEAK

"""The late-retrieval case: shares of what MaxSim ranks best, and a quick run that agrees and measures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks import muvera as case
from benchmarks import muvera_plaid, muvera_worker
from benchmarks.muvera_settings import DENSE, EXACT, Sketch
from benchmarks.options import Options
from benchmarks.workers import WorkerError
from rankgrad.types import Ranking


def test_shares_of_what_is_found() -> None:
    truth = Ranking(torch.arange(20)[None], torch.zeros(1, 20), torch.ones(1, 20).bool())
    found = torch.tensor([[19, 0, 3, -1, 50]])
    rows = muvera_worker.recalls("one", "setting", truth, found)
    assert [row.p50 for row in rows] == [3 / 20, 2 / 10]


def test_names_say_the_width() -> None:
    assert Sketch(20, 4, 16).name == "rankgrad MUVERA 20 x 16 x 16 = 5,120"
    assert Sketch(2, 1, 8, 5).name == "rankgrad MUVERA 2 x 2 x 8 = 32, sketched to 5"
    assert Sketch(2, 1, 8, 5).make(16).encoding_dim == 5


def test_it_is_measured_on_a_cpu() -> None:
    with pytest.raises(WorkerError, match="measured on the CPU"):
        case.run(Options(device="cuda"))


@pytest.mark.slow
def test_a_quick_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    workers = {"benchmarks.muvera_worker": muvera_worker, "benchmarks.muvera_plaid": muvera_plaid}
    monkeypatch.setattr(case, "ENCODED", tmp_path)
    monkeypatch.setattr(
        case, "run_worker", lambda module, job, threads, python=None: workers[module].work(job | {"threads": threads})
    )
    monkeypatch.setattr(muvera_plaid, "find_spec", lambda name: None)
    rows = case.run(Options(quick=True))
    assert {row.metric for row in rows if row.provider == EXACT} == {
        muvera_worker.QUALITY,
        muvera_worker.TOKENS,
        muvera_worker.RATE,
    }
    shares = [row.p50 for row in rows if row.unit == "recall"]
    assert len(shares) == 2 * 3
    assert all(0 < share <= 1 for share in shares)
    assert all(row.p50 > 0 for row in rows)
    assert DENSE in {row.provider for row in rows}

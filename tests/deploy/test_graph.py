"""Runs take no more cores than there are, and go no further ahead than pays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankgrad import deploy
from rankgrad.deploy.cores import usable_cores
from rankgrad.tokens import padded_tokens


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "20000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "250000\n"}, 8),
    ],
)
def test_a_containers_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == cores


def test_runs_wait_for_who_takes_their_outputs(tiny_bundle: Callable[[str], Path]) -> None:
    graph: Any = deploy.load(tiny_bundle("colbert"), threads=2).graph  # type: ignore[union-attr]
    begun: list[int] = []

    class Session:
        def run(self, outputs: Any, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            begun.append(len(feeds["input_ids"]))
            return [feeds["input_ids"]]

    graph._lane = Session()
    tokens = padded_tokens([[place] * (30 - place) for place in range(20)], pad_id=0)
    taken = graph.batches(tokens, batch_size=1)
    for place in range(20):
        rows, output = next(taken)
        assert (rows.tolist(), output.tolist()) == ([place], [[place] * (30 - place)])
        # What was handed in before this is done when this is.
        graph._pool.submit(int).result(20)
        assert len(begun) <= place + 5
    assert list(taken) == []
    assert len(begun) == 20

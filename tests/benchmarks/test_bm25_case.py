"""The benchmark of BM25 runs and its rankings agree, at a size that says nothing about speed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bm25_data import WORDS_A_QUERY, drawn
from benchmarks.record import read

ROOT = Path(__file__).resolve().parents[2]


def test_texts_are_the_same_each_time_and_frequent_words_are_frequent() -> None:
    texts = drawn(400, 20, words=300)
    assert texts == drawn(400, 20, words=300)
    words = [word for text in texts.documents for word in text.split()]
    counts = np.sort(np.unique(words, return_counts=True)[1])[::-1]
    # Zipf's law without its first thirty: the first word is (30 + 99) / 30 times as frequent as the hundredth.
    assert counts[0] / counts[99] == pytest.approx(129 / 30, rel=0.2)
    assert 95 < len(words) / 400 < 125
    assert all(len(set(query.split())) == WORDS_A_QUERY for query in texts.queries)


@pytest.mark.slow
def test_a_quick_run_measures_every_engine(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "bm25", "--quick", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "left out" not in done.stdout
    (path,) = tmp_path.glob("bm25--*.csv")
    rows, _ = read(path)
    assert {row.provider.split()[0] for row in rows} >= {"rankgrad", "bm25s"}
    assert all(row.p50 > 0 for row in rows if row.unit)

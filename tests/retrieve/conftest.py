"""A small collection of made-up words, and an analyzer that leaves them alone."""

from __future__ import annotations

import numpy as np
import pytest

from rankgrad.retrieve import Analyzer


@pytest.fixture
def plain() -> Analyzer:
    return Analyzer(stop_words=(), stemmer=None)


@pytest.fixture
def texts() -> list[str]:
    """Words of falling frequency; the last text is empty."""
    generator = np.random.default_rng(0)
    chance = 1 / np.arange(1, 26)
    drawn = [generator.choice(25, size, p=chance / chance.sum()) for size in generator.integers(1, 30, 40)]
    return [*(" ".join(f"w{word}" for word in text) for text in drawn), ""]

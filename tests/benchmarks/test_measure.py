"""Percentiles by formula, rounds in turn."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.measure import Spread, interleaved, peak_memory, spread


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([7.0], (7.0, 7.0, 7.0)),
        ([10.0, 0.0], (2.0, 5.0, 8.0)),
        ([4.0, 1.0, 2.0, 3.0, 0.0], (0.8, 2.0, 3.2)),
        (list(range(101)), (20.0, 50.0, 80.0)),
    ],
)
def test_percentiles(samples: list[float], expected: tuple[float, float, float]) -> None:
    assert spread(samples) == pytest.approx(expected)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_percentiles_are_those_of_numpy(samples: list[float]) -> None:
    np.testing.assert_allclose(spread(samples), np.percentile(samples, [20, 50, 80]), atol=1e-6)


def test_no_samples_have_no_percentiles() -> None:
    with pytest.raises(ValueError, match="measure at least once"):
        spread([])


@pytest.fixture
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among all that a whole suite has made, the collector before each round takes half a second."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.mark.usefixtures("no_collection")
def test_every_round_calls_each_once_in_an_order_of_its_own() -> None:
    order: list[str] = []
    calls = {name: lambda name=name: order.append(name) for name in "abc"}
    samples = interleaved(calls, rounds=30, warm_up=1)
    rounds = ["".join(order[first : first + 3]) for first in range(3, len(order), 3)]
    assert order[:3] == list("abc")
    assert {"".join(sorted(each)) for each in rounds} == {"abc"}
    # All six orders come, so whoever goes before a call changes.
    assert len(set(rounds)) == 6
    assert {name: len(values) for name, values in samples.items()} == {"a": 30, "b": 30, "c": 30}


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize(("seconds", "rounds"), [(0.0, 5), (1e6, 30)])
def test_rounds_fit_the_time_within_bounds(seconds: float, rounds: int) -> None:
    samples = interleaved({"sum": lambda: sum(range(100))}, seconds=seconds)
    assert len(samples["sum"]) == rounds
    assert isinstance(spread(samples["sum"]), Spread)


def test_peak_memory_holds_what_was_allocated() -> None:
    block = np.ones(8 * 2**20)
    assert peak_memory() >= block.nbytes / 2**20

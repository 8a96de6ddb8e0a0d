"""Rows of several requests share a run, in turn, and one request's trouble is its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from rankgrad.deploy.serve.batching import Batcher, Run
from rankgrad.tokens import Tokens, padded_tokens

POISON = 666


class Echo:
    """A graph that gives back each row's ids, after the gate is open, and notes its runs."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.runs: list[list[list[int]]] = []

    def batches(self, tokens: Tokens) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        self.runs.append([row[row >= 0].tolist() for row in tokens.input_ids])
        self.entered.release()
        assert self.open.wait(10)
        if (tokens.input_ids == POISON).any():
            raise RuntimeError("no such token")
        for start in range(0, len(tokens.input_ids), 2):
            rows = np.arange(start, min(start + 2, len(tokens.input_ids)))
            yield rows, tokens.input_ids[rows]

    def __call__(self, tokens: Tokens) -> np.ndarray:
        return np.concatenate([found for _, found in self.batches(tokens)])


def rows(*lengths: int, of: int) -> Tokens:
    """Rows of these lengths, filled with a number that tells whose they are."""
    return padded_tokens([[of] * length for length in lengths], pad_id=-1)


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[Batcher, Echo, list[Run]]]]:
    """A batcher that is in its first run, of a request of its own, so that the next ones meet in the queue."""
    started: list[tuple[Batcher, Echo]] = []

    def start(**options: Any) -> tuple[Batcher, Echo, list[Run]]:
        graph, seen = Echo(), []
        batcher = Batcher(graph, pad_id=-1, on_run=seen.append, **options)  # type: ignore[arg-type]
        batcher.start()
        started.append((batcher, graph))
        batcher.submit(rows(1, of=0))
        assert graph.entered.acquire(timeout=10)
        return batcher, graph, seen

    yield start
    for batcher, graph in started:
        graph.open.set()
        batcher.close()


def outputs(future: Any) -> list[list[int]]:
    return [row[row >= 0].tolist() for row in future.result(10)]


def test_requests_share_a_run(start: Callable[..., Any]) -> None:
    batcher, graph, seen = start(tokens=100)
    futures = [batcher.submit(rows(2, 5, 1, of=who)) for who in (1, 2, 3)]
    graph.open.set()
    for who, future in enumerate(futures, 1):
        assert outputs(future) == [[who] * 2, [who] * 5, [who]]
    assert [len(run) for run in graph.runs] == [1, 9]
    batcher.close()
    assert [run[:3] for run in seen] == [(1, 1, 1), (3, 9, 24)]


def test_without_batching_they_do_not(start: Callable[..., Any]) -> None:
    batcher, graph, _ = start(tokens=100, together=False)
    futures = [batcher.submit(rows(2, 5, of=who)) for who in (1, 2)]
    graph.open.set()
    assert [outputs(future) for future in futures] == [[[1] * 2, [1] * 5], [[2] * 2, [2] * 5]]
    assert [len(run) for run in graph.runs] == [1, 2, 2]


def test_whole_requests_are_neither_split_nor_mixed(start: Callable[..., Any]) -> None:
    batcher, graph, seen = start(tokens=3, whole=True)
    futures = [batcher.submit(rows(2, 5, of=who)) for who in (1, 2)]
    graph.open.set()
    assert [outputs(future) for future in futures] == [[[1] * 2, [1] * 5], [[2] * 2, [2] * 5]]
    assert graph.runs == [[[0]], [[1] * 5, [1] * 2], [[2] * 5, [2] * 2]]
    batcher.close()
    assert [run[:3] for run in seen] == [(1, 1, 1), (1, 2, 7), (1, 2, 7)]


def test_a_long_request_takes_turns_with_short_ones(start: Callable[..., Any]) -> None:
    batcher, graph, seen = start(tokens=10)
    long = batcher.submit(rows(*[4] * 6, of=1))
    short = batcher.submit(rows(3, of=2))
    graph.open.set()
    assert outputs(short) == [[2] * 3]
    assert outputs(long) == [[1] * 4] * 6
    batcher.close()
    owners = [{row[0] for row in run} for run in graph.runs]
    assert owners == [{0}, {1}, {1, 2}, {1}, {1}]
    assert all(run.tokens <= 10 for run in seen)


def test_a_row_longer_than_a_run_is_run_alone(start: Callable[..., Any]) -> None:
    batcher, graph, _ = start(tokens=3)
    future = batcher.submit(rows(7, 1, of=1))
    graph.open.set()
    assert outputs(future) == [[1] * 7, [1]]
    assert graph.runs[1:] == [[[1] * 7], [[1]]]


def test_a_failing_request_fails_alone(start: Callable[..., Any]) -> None:
    batcher, graph, _ = start(tokens=100)
    good, bad, also = (batcher.submit(rows(2, of=who)) for who in (1, POISON, 3))
    graph.open.set()
    assert (outputs(good), outputs(also)) == ([[1, 1]], [[3, 3]])
    with pytest.raises(RuntimeError, match="no such token"):
        bad.result(10)
    assert outputs(batcher.submit(rows(1, of=4))) == [[4]]


def test_a_cancelled_request_is_left_out(start: Callable[..., Any]) -> None:
    batcher, graph, _ = start(tokens=100)
    gone, stays = (batcher.submit(rows(2, of=who)) for who in (1, 2))
    assert gone.cancel()
    graph.open.set()
    assert outputs(stays) == [[2, 2]]
    assert graph.runs[1:] == [[[2, 2]]]


def test_a_run_waits_for_a_request_on_its_way(start: Callable[..., Any]) -> None:
    batcher, graph, _ = start(tokens=100, wait=10.0)
    graph.open.set()
    with batcher.coming():
        first = batcher.submit(rows(1, of=1))
        second = batcher.submit(rows(1, of=2))
    assert (outputs(first), outputs(second)) == ([[1]], [[2]])
    assert [len(run) for run in graph.runs] == [1, 2]


def test_closing_finishes_what_was_handed_in(start: Callable[..., Any]) -> None:
    batcher, graph, _ = start(tokens=100)
    future = batcher.submit(rows(2, of=1))
    threading.Timer(0.05, graph.open.set).start()
    batcher.close()
    assert outputs(future) == [[1, 1]]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(rows(1, of=1))

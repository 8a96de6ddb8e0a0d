"""One thread that runs the graph on the rows of several requests at once."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rankgrad.deploy.graph import Graph
from rankgrad.tokens import Tokens


@dataclass(eq=False)
class Job:
    """The rows of one request: ``order`` has them by length, the longest first; the first ``taken`` are under way."""

    tokens: Tokens
    widths: np.ndarray
    order: np.ndarray
    future: Future[list[np.ndarray]]
    outputs: list[np.ndarray]
    taken: int = 0
    done: int = 0

    def take(self, room: int, *, at_least: int) -> np.ndarray:
        """The next rows that hold at most ``room`` tokens."""
        rows = self.order[self.taken :]
        count = max(int(np.searchsorted(self.widths[rows].cumsum(), room, side="right")), at_least)
        self.taken += len(rows[:count])
        return rows[:count]


class Piece(NamedTuple):
    """Some rows of a job."""

    job: Job
    rows: np.ndarray


class Run(NamedTuple):
    """What a run was: of how many requests, rows and tokens, and how many seconds it took."""

    requests: int
    rows: int
    tokens: int
    seconds: float


class Batcher:
    """Collect rows of requests and run the graph on them, in a thread of its own.

    A run takes the requests in turn, each at most once, until it holds ``tokens``; a request longer than that goes on
    in later runs, between which shorter ones get theirs. It waits only while a request that was announced
    (``coming``) has not handed in its rows, and at most ``wait`` seconds.

    Args:
        graph: the graph.
        pad_id: fills short rows.
        tokens: when a run is full.
        wait: seconds.
        together: False: a run has rows of one request only.
        whole: True: a run has all rows of one request, and no others: for a graph in which rows see each other.
        on_run: called after each run, in the thread.
    """

    def __init__(
        self,
        graph: Graph,
        *,
        pad_id: int,
        tokens: int = 2048,
        wait: float = 0.002,
        together: bool = True,
        whole: bool = False,
        on_run: Callable[[Run], None] = lambda run: None,
    ) -> None:
        self.graph = graph
        self.pad_id = pad_id
        self.tokens = tokens
        self.wait = wait
        self.together = together and not whole
        self.whole = whole
        self.on_run = on_run
        self._jobs: deque[Job] = deque()
        self._coming = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="rankgrad-batches", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Finish what was handed in and stop."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Announce rows: inside the block they are being prepared, and a run may wait for them."""
        self._announce(1)
        try:
            yield
        finally:
            self._announce(-1)

    def submit(self, tokens: Tokens) -> Future[list[np.ndarray]]:
        """Hand in rows: the graph's output for each. A cancelled future takes its rows out again."""
        widths = ((tokens.attention_mask != 0) | tokens.scored).sum(axis=1)
        order = np.argsort(-widths, kind="stable")
        job = Job(tokens, widths, order, Future(), [np.empty(0)] * len(order))
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def _announce(self, change: int) -> None:
        with self._changed:
            self._coming += change
            self._changed.notify_all()

    def _work(self) -> None:
        while pieces := self._collect():
            error = self._run(pieces)
            if error is None:
                continue
            # One request's rows may be at fault: the others must not pay for it.
            for piece in pieces:
                alone = self._run([piece]) if len(pieces) > 1 else error
                if alone is not None:
                    with suppress(InvalidStateError):
                        piece.job.future.set_exception(alone)

    def _collect(self) -> list[Piece]:
        """The next run; nothing when all is done and no more will come."""
        with self._changed:
            while True:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self.together and self.wait:
                    self._await_more()
                pieces = self._take()
                if pieces or (self._closed and not self._jobs):
                    return pieces

    def _await_more(self) -> None:
        until = time.monotonic() + self.wait
        while self._coming and not self._closed and sum(job.widths.sum() for job in self._jobs) < self.tokens:
            if not self._changed.wait(until - time.monotonic()):
                return

    def _take(self) -> list[Piece]:
        pieces: list[Piece] = []
        room = sys.maxsize if self.whole else self.tokens
        for _ in range(len(self._jobs)):
            job = self._jobs.popleft()
            if job.future.done():
                continue
            rows = job.take(room, at_least=0 if pieces else 1)
            if not len(rows):
                self._jobs.appendleft(job)
                break
            pieces.append(Piece(job, rows))
            room -= int(job.widths[rows].sum())
            if job.taken < len(job.order):
                self._jobs.append(job)
            if room <= 0 or not self.together:
                break
        return pieces

    def _run(self, pieces: Sequence[Piece]) -> Exception | None:
        """Run the graph and hand the outputs over; what went wrong."""
        start = time.perf_counter()
        try:
            tokens = join([Tokens(*(field[rows] for field in job.tokens)) for job, rows in pieces], pad_id=self.pad_id)
            owners = [(job, row) for job, rows in pieces for row in rows.tolist()]
            every = np.arange(len(owners))
            for rows, found in [(every, self.graph(tokens))] if self.whole else self.graph.batches(tokens):
                for place, output in zip(rows.tolist(), found, strict=True):
                    job, row = owners[place]
                    job.outputs[row] = output
        except Exception as error:  # whatever it is, it is told to those who wait, and the thread goes on
            return error
        for job, rows in pieces:
            job.done += len(rows)
            if job.done == len(job.order):
                with suppress(InvalidStateError):  # the client went away meanwhile
                    job.future.set_result(job.outputs)
        size = int(sum(job.widths[rows].sum() for job, rows in pieces))
        self.on_run(Run(len(pieces), len(owners), size, time.perf_counter() - start))
        return None


def join(parts: Sequence[Tokens], *, pad_id: int) -> Tokens:
    """Several padded batches as one, as wide as the widest.

    Example:
        >>> one = np.ones((1, 2), dtype=np.int64)
        >>> short = Tokens(one[:, :1], one[:, :1], one[:, :1], one[:, :1].astype(bool))
        >>> join([Tokens(one, one, one, one.astype(bool)), short], pad_id=9).input_ids.tolist()
        [[1, 1], [1, 9]]
    """
    width = max(part.input_ids.shape[1] for part in parts)
    fills = (pad_id, 0, 0, False)
    return Tokens(
        *(
            np.concatenate([np.pad(each, ((0, 0), (0, width - each.shape[1])), constant_values=fill) for each in field])
            for field, fill in zip(zip(*parts, strict=True), fills, strict=True)
        )
    )

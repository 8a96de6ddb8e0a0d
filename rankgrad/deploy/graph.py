"""An ONNX graph in ONNX Runtime, fed with padded rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rankgrad._checks import InputError, require
from rankgrad.deploy.cores import usable_cores
from rankgrad.tokens import Tokens

TOKENS_A_RUN = 256

_RUNS_AHEAD = 2
_ERRORS_ONLY = 3
_DISABLED = "optimization.disable_specified_optimizers"


class Graph:
    """Run an ONNX graph on the CPU; of several outputs the first is computed.

    One run takes all threads. Several runs take a thread each and go side by side, in a second session made when it is
    first needed: on two cores ten pairs of 131 tokens took 66 ms in int8 so, and 90 ms one after another.

    Args:
        path: the ONNX file.
        threads: threads in all; None takes every core this process may use, of a container's quota too.
        batch_size: rows of one run; None takes as many as ``TOKENS_A_RUN`` tokens hold.

    Raises:
        InputError: for a file that is no ONNX graph, or ``threads`` below 1.
        MissingExtraError: without onnxruntime.
    """

    def __init__(self, path: str | Path, *, threads: int | None = None, batch_size: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise InputError(f"threads={threads}: pass at least 1, or None for every core")
        self._path = path
        self.threads = threads or usable_cores()
        self._session = _session(path, self.threads)
        self.inputs: tuple[str, ...] = tuple(declared.name for declared in self._session.get_inputs())
        first = self._session.get_outputs()[0]
        self.output: str = first.name
        self.width: int | None = first.shape[-1] if first.shape and isinstance(first.shape[-1], int) else None
        self.batch_size = batch_size

    def __call__(self, rows: NamedTuple) -> np.ndarray:
        """Run one padded batch as it is, a named tuple with a field for each input: the graph's output."""
        return self._run(self._session, rows)

    def batches(self, tokens: Tokens, *, batch_size: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Run many rows in small batches of like length, the longest first, each padded to its own longest row.

        On a CPU a run of one long text is as fast a token as a run of many; shorter texts fill a run up to
        ``TOKENS_A_RUN``, the fastest of five sizes tried.

        Args:
            tokens: the rows.
            batch_size: rows of one run; None takes the graph's own.

        Yields:
            row numbers and the output for these rows.
        """
        runs = _runs(_widths(tokens), batch_size or self.batch_size)
        if self.threads == 1 or len(runs) == 1:
            for rows in runs:
                yield rows, self(_rows(tokens, rows))
            return
        lane = self._lane
        yield from _side_by_side(
            self._pool, lambda rows: self._run(lane, _rows(tokens, rows)), runs, ahead=_RUNS_AHEAD * self.threads
        )

    @cached_property
    def _lane(self) -> Any:
        """The session of runs that go side by side."""
        return _session(self._path, 1)

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self.threads, thread_name_prefix="rankgrad")

    def _run(self, session: Any, rows: NamedTuple) -> np.ndarray:
        return session.run([self.output], {name: getattr(rows, name) for name in self.inputs})[0]


def _session(path: str | Path, threads: int) -> Any:
    onnxruntime = require("onnxruntime", "serve")
    options = onnxruntime.SessionOptions()
    # Stated, not left to ONNX Runtime: its own count ignores affinity and warns about each thread it cannot pin.
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    # A thread that spins while idle takes a core from the process that serves the request.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The fused operator is scalar code on the CPU: apart, addition and normalisation save a quarter of an int8 run.
    options.add_session_config_entry(_DISABLED, "SkipLayerNormFusion")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no base class of their own
        reason = str(error).strip().splitlines()[0][:700]
        raise InputError(f"{path} is no ONNX graph that loads ({reason}): copy or export the bundle again") from error


def _widths(tokens: Tokens) -> np.ndarray:
    """Columns each row needs, at least 1: int64 ``[rows]``."""
    used = tokens.attention_mask.astype(bool) | tokens.scored
    last = used.shape[1] - np.argmax(used[:, ::-1], axis=1)
    return np.where(used.any(axis=1), last, 1)


def _runs(widths: np.ndarray, size: int | None) -> list[np.ndarray]:
    """Row numbers of each run: ``size`` rows, or as many as ``TOKENS_A_RUN`` tokens hold."""
    order = np.argsort(-widths, kind="stable")
    runs, start = [], 0
    while start < len(order):
        runs.append(order[start : start + (size or max(1, TOKENS_A_RUN // int(widths[order[start]])))])
        start += len(runs[-1])
    return runs


def _side_by_side(
    pool: ThreadPoolExecutor, run: Callable[[np.ndarray], np.ndarray], runs: list[np.ndarray], *, ahead: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The output of each run, in order.

    At most ``ahead`` are handed in beyond the one that is taken: outputs may be as wide as a vocabulary.
    """
    waiting: deque[tuple[np.ndarray, Future[np.ndarray]]] = deque()
    try:
        for rows in runs:
            waiting.append((rows, pool.submit(run, rows)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def _rows(tokens: Tokens, rows: np.ndarray) -> Tokens:
    return Tokens(*(field[rows] for field in tokens)).trimmed()

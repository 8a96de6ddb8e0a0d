"""The measuring process of the BM25 case: agreement of every ranking, then seconds; or the memory of one provider."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.bm25_data import drawn
from benchmarks.bm25_providers import Engine, engines
from benchmarks.left_out import unless_left_out
from benchmarks.measure import interleaved, spread
from benchmarks.memory_peak import peak_growth
from benchmarks.parity import DisagreementError
from benchmarks.record import Row, row
from benchmarks.show import OURS
from benchmarks.workers import answer

INDEXING, RATE, MEMORY = "time of indexing texts", "answered in a second", "memory of indexing, at its peak"
SIZE = "size of the index"
_TOLERANCE = 1e-5
_ALONE = 200


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    os.environ["NUMBA_NUM_THREADS"] = str(job["threads"])
    warnings.simplefilter("ignore")
    texts = drawn(job["documents"], job["queries"], words=job["words"])
    threads = f"{job['threads']} thread{'s' if job['threads'] > 1 else ''}"
    setting = f"{job['documents']:,} documents, {threads}"
    makers = engines(OURS)
    if job["memory"]:
        return _memory(makers, texts.documents, setting, job)
    rows: list[Row] = []
    made: dict[str, Engine] = {}
    for name, make in makers.items():
        print(f"bm25, {setting}: indexing by {name}", flush=True)
        samples = []
        for _ in range(job["rounds"]):
            began = time.perf_counter()
            engine = make(texts.documents, job["k"], job["threads"])
            samples.append(time.perf_counter() - began)
        rows.append(row("", name, setting, INDEXING, "s", spread(samples), len(samples)))
        rows.append(row("", name, setting, SIZE, "MiB", engine.size / 2**20))
        made[name] = engine
    wanted = made[OURS].from_texts(texts.queries)
    for name, engine in list(made.items()):
        agreed = unless_left_out(name, setting, lambda engine=engine: _agrees(wanted, engine, texts.queries))
        if agreed is None:
            del made[name]
    asked = {name: engine.terms(texts.queries) for name, engine in made.items()}
    ways: dict[str, tuple[int, Callable[[str, Engine], Callable[[], object]]]] = {
        f"batch of {len(texts.queries):,}, from terms": (
            len(texts.queries),
            lambda name, engine: lambda: engine.from_terms(asked[name]),
        ),
        f"batch of {len(texts.queries):,}, from texts": (
            len(texts.queries),
            lambda name, engine: lambda: engine.from_texts(texts.queries),
        ),
        "one at a time, from texts": (
            min(_ALONE, len(texts.queries)),
            lambda name, engine: lambda: [engine.from_texts([query]) for query in texts.queries[:_ALONE]],
        ),
    }
    for way, (count, call) in ways.items():
        place = f"{setting}, {way}, k={job['k']}"
        print(f"bm25, {place}", flush=True)
        found = interleaved({name: call(name, engine) for name, engine in made.items()}, warm_up=1)
        for name, samples in found.items():
            rates = [count / each * 1e3 for each in samples]
            rows.append(row("", name, place, RATE, "queries", spread(rates), len(rates)))
    return [each[1:] for each in rows]


def _agrees(wanted: tuple[np.ndarray, np.ndarray], engine: Engine, queries: Sequence[str]) -> bool:
    """The same scores in the same order, and the same documents but for those that score as the last does."""
    for found in (engine.from_texts(queries), engine.from_terms(engine.terms(queries))):
        # Where ours finds nothing, bm25s gives documents that score 0.
        real = np.isfinite(wanted[1])
        if not np.allclose(found[1][real], wanted[1][real], rtol=_TOLERANCE, atol=0) or (found[1][~real] > 0).any():
            raise DisagreementError("a score differs by more than 1e-5 of it")
        for query in range(len(queries)):
            last = wanted[1][query, -1]
            above = real[query] & (wanted[1][query] > (last * (1 + _TOLERANCE) if np.isfinite(last) else 0))
            if set(wanted[0][query][above].tolist()) != set(found[0][query][above].tolist()):
                raise DisagreementError(f"query {query} has other documents")
    return True


def _memory(
    makers: dict[str, Callable[..., Engine]], documents: Sequence[str], setting: str, job: dict[str, Any]
) -> list[tuple[Any, ...]]:
    name = next((each for each in makers if each == job["memory"]), None)
    if name is None:
        return []
    makers[name](documents[:200], job["k"], 1)
    grown = peak_growth(lambda: makers[name](documents, job["k"], 1))
    return [row("", name, setting, MEMORY, "MiB", grown)[1:]]


if __name__ == "__main__":
    answer(work)

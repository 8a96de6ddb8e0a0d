"""The measuring process of the fusion case: agreement of every score, then seconds."""

from __future__ import annotations

import os
import warnings
from typing import Any

from benchmarks.fusion_providers import METHODS, Method, drawn, ranx_call, ranx_installed, ranx_runs
from benchmarks.left_out import unless_left_out
from benchmarks.measure import interleaved, spread
from benchmarks.parity import DisagreementError
from benchmarks.record import Row, row
from benchmarks.show import OURS
from benchmarks.workers import answer
from rankgrad.types import Ranking

SECONDS, DIFFERENCE = "time of fusing", "largest difference of a score to ranx, of the largest score"
_TOLERANCE = 1e-5
_CHECKED = 20


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    # Its threads are counted when it is imported; what it casts is not ours to warn of.
    os.environ["NUMBA_NUM_THREADS"] = str(job["threads"])
    warnings.simplefilter("ignore")
    rows: list[Row] = []
    with_ranx = ranx_installed()
    for quadratic in (False, True):
        documents = job["documents"] // 10 if quadratic and not job["quick"] else job["documents"]
        shape = f"{job['queries']:,} queries x {job['lists']} lists x {documents:,} documents, 1 thread"
        rankings = drawn(job["queries"], job["lists"], documents, job["pool"])
        runs = ranx_runs(rankings) if with_ranx else []
        # It compiles for each length of an id, so it warms up on queries and documents of the same.
        few = ranx_runs(rankings, first=job["queries"] - 2) if with_ranx else []
        for method in METHODS:
            if method.quadratic == quadratic:
                rows += _measured(method, rankings, runs, few, f"{method.name}, {shape}", quick=job["quick"])
    return [each[1:] for each in rows]


def _measured(
    method: Method, rankings: list[Ranking], runs: list[Any], few: list[Any], setting: str, *, quick: bool
) -> list[Row]:
    print(f"fusion, {setting}", flush=True)
    rows: list[Row] = []
    samples = interleaved({OURS: lambda: method.ours(rankings)}, rounds=2 if quick else 5, warm_up=1)
    rows.append(
        row("", OURS, setting, SECONDS, "s", spread([each / 1e3 for each in samples[OURS]]), len(samples[OURS]))
    )
    if not runs or method.ranx is None:
        return rows
    found = unless_left_out("ranx", setting, lambda: _ranx(method, rankings, runs, few))
    if found is not None:
        from importlib.metadata import version

        name = f"ranx {version('ranx')}"
        rows.append(row("", name, setting, SECONDS, "s", found[0]))
        rows.append(row("", name, setting, DIFFERENCE, "", found[1]))
    return rows


def _ranx(method: Method, rankings: list[Ranking], runs: list[Any], few: list[Any]) -> tuple[float, float]:
    """Seconds of one call, compiled before on a few queries, and how far its scores are from ours."""
    ranx_call(method, few)()
    fused: list[Any] = []
    call = ranx_call(method, runs)
    milliseconds = interleaved({"": lambda: fused.append(call())}, rounds=1, warm_up=0)[""][0]
    difference = _difference(method.ours(rankings), fused[0])
    if not difference <= _TOLERANCE:
        raise DisagreementError(f"a score differs by {difference:.2g}, allowed is {_TOLERANCE:.0e}")
    return milliseconds / 1e3, difference


def _difference(ours: Ranking, theirs: Any) -> float:
    largest = 0.0
    for query in range(0, len(ours.ids), max(1, len(ours.ids) // _CHECKED)):
        real = ours.mask[query]
        scores = dict(zip(map(str, ours.ids[query][real].tolist()), ours.scores[query][real].tolist(), strict=True))
        wanted = dict(theirs.run[str(query)])
        if scores.keys() != wanted.keys():
            raise DisagreementError(f"query {query} has other documents")
        unit = max(map(abs, wanted.values()), default=1.0) or 1.0
        largest = max(largest, *(abs(scores[name] - wanted[name]) / unit for name in wanted))
    return largest


if __name__ == "__main__":
    answer(work)

"""How many queries a contrastive training step of a whole late-interaction model may have in a fixed memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.grad_cache_model import CACHED, PYLATE, SENTENCE_TRANSFORMERS, WHOLE, Plan, write_model
from benchmarks.largest import largest, sizes
from benchmarks.options import Options
from benchmarks.record import Row, row
from benchmarks.workers import WorkerError, run_worker

CASE = "grad_cache"
PEERS = {PYLATE: "pylate", SENTENCE_TRANSFORMERS: "sentence_transformers"}
QUERIES = "most queries in a step"
TOLERANCE = 1e-3
_WORKER = "benchmarks.grad_cache_trial"
_THREADS = 2


def plan(options: Options) -> Plan:
    """What is tried: on a GPU an encoder of MiniLM's size and a budget of gigabytes."""
    if options.quick:
        return Plan(16, 1, 16, 8, 32, 2, 8, [4])
    if options.device == "cpu":
        return Plan(64, 2, 128, 32, 180, 8, 128, sizes(4, 1 << 12))
    return Plan(384, 6, 128, 32, 180, 32, 8192, sizes(16, 1 << 16))


def run(options: Options) -> list[Row]:
    """The loss of a small step of each provider, then its largest step; every trial in a process of its own."""
    tried = plan(options)
    # A quick run measures nothing, so it needs no fresh processes.
    measure = _here if options.quick else partial(run_worker, _WORKER, threads=_THREADS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder) / "model", tried.hidden, tried.layers, tried.dim)
        job: dict[str, Any] = {"plan": tried, "device": options.device, "folder": f"{folder}/model"}
        reference = None
        for name in _present():
            first = measure(job | {"provider": name, "queries": tried.sizes[0]})
            reference = first["loss"] if reference is None else reference
            difference = abs(first["loss"] - reference) / max(1.0, abs(reference))
            print(f"parity: {name}: loss {first['loss']:.6f}", flush=True)
            if not difference <= TOLERANCE:
                raise WorkerError(f"{name} begins with loss {first['loss']:.6f}, {WHOLE} with {reference:.6f}")
            rows += _largest_step(name, tried, job, measure, difference, known={tried.sizes[0]: first})
    return rows


def _here(job: dict[str, Any]) -> dict[str, float]:
    from benchmarks.grad_cache_trial import work

    return work(job)


def _present() -> list[str]:
    missing = [name for name, package in PEERS.items() if find_spec(package) is None]
    for name in missing:
        print(f'skipped: {name} ({PEERS[name]} not installed: pip install "rankgrad[bench]")')
    return [WHOLE, CACHED, *(name for name in PEERS if name not in missing)]


def _largest_step(
    name: str,
    tried: Plan,
    job: dict[str, Any],
    measure: Callable[[dict[str, Any]], dict[str, float]],
    difference: float,
    *,
    known: dict[int, dict[str, float]],
) -> list[Row]:
    @cache
    def trial(queries: int) -> dict[str, float]:
        asked = {"provider": name, "queries": queries}
        found = known[queries] if queries in known else measure(job | asked)
        print(f"trial, {name}: {queries} queries take {found['growth']:.1f} MiB", flush=True)
        return found

    if len(tried.sizes) == 1:  # A quick run does not search.
        queries = tried.sizes[0]
    else:
        queries = largest(lambda size: trial(size)["growth"], tried.budget, tried.sizes)
    setting = (
        f"{tried.budget} MiB beyond model and tokens, Q x 2Q, {tried.query_tokens} x {tried.document_tokens} tokens, "
        f"encoder {tried.layers} x {tried.hidden}, {tried.rows} documents a micro-batch"
    )
    rows = [row(CASE, name, setting, "relative difference of the loss", "", difference)]
    if queries is None:
        print(f"{name}: no step of {tried.sizes[0]} queries fits {tried.budget} MiB", flush=True)
        return rows
    best = trial(queries)
    return [
        *rows,
        row(CASE, name, setting, QUERIES, "queries", queries),
        row(CASE, name, setting, "peak memory at that size", "MiB", best["growth"]),
        row(CASE, name, setting, "time of a query at that size", "ms", 1e3 * best["seconds"] / queries),
    ]

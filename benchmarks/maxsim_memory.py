"""How many queries a contrastive training step may have in a fixed amount of memory."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from benchmarks.largest import largest, sizes
from benchmarks.options import Options
from benchmarks.record import Row, row
from benchmarks.workers import run_worker

CASE = "maxsim_memory"
QUERIES = "most queries in a step"
_WORKER = "benchmarks.maxsim_memory_trial"
_THREADS = 2


class Plan(NamedTuple):
    """Tokens of queries and documents, width, budgets in MiB, and the sizes that are tried."""

    query_tokens: int
    document_tokens: int
    dim: int
    budgets: list[int]
    sizes: list[int]


def plan(options: Options) -> Plan:
    """What is tried: on a GPU budgets of gigabytes."""
    if options.quick:
        return Plan(8, 64, 32, [2], [4, 64])
    budgets = [16, 32, 64, 128] if options.device == "cpu" else [1024, 2048, 4096, 8192]
    return Plan(32, 180, 128, budgets, sizes(4, 1 << 15))


def run(options: Options) -> list[Row]:
    """Agreement of the losses, then the largest step of each provider; every trial on a CPU in a fresh process."""
    tried = plan(options)
    threads = 1 if options.quick or options.device != "cpu" else _THREADS
    job: dict[str, Any] = {"plan": tried, "device": options.device}
    rows: list[Row] = []
    differences = run_worker(_WORKER, job | {"task": "agreement"}, threads=threads)
    if options.device == "cpu":
        found = {name: _searched(name, tried, job, threads) for name in differences}
    else:
        found = run_worker(_WORKER, job | {"task": "search", "providers": list(differences)}, threads=threads)
    for name, difference in differences.items():
        rows.append(row(CASE, name, _setting(tried), "difference of the loss", "", difference))
        rows += _largest_steps(name, tried, found[name])
    return rows


def _searched(name: str, tried: Plan, job: dict[str, Any], threads: int) -> list[tuple[int, int | None, float | None]]:
    """Each budget with the most queries that fit it and what they take, every trial in a process of its own."""

    @cache
    def peak(queries: int) -> float:
        asked = {"task": "trial", "provider": name, "queries": queries}
        growth = run_worker(_WORKER, job | asked, threads=threads)
        print(f"trial, {name}: {queries} queries take {growth:.1f} MiB beyond the inputs", flush=True)
        return growth

    found = [(budget, largest(peak, budget, tried.sizes)) for budget in tried.budgets]
    return [(budget, queries, peak(queries) if queries else None) for budget, queries in found]


def _largest_steps(name: str, tried: Plan, found: list[tuple[int, int | None, float | None]]) -> list[Row]:
    rows = []
    for budget, queries, growth in found:
        if queries is None or growth is None:
            print(f"{name}: no step of {tried.sizes[0]} queries fits {budget} MiB", flush=True)
            continue
        print(f"{name}: {queries} queries fit {budget} MiB (they take {growth:.1f})", flush=True)
        setting = f"{budget} MiB beyond the inputs, {_setting(tried)}"
        rows.append(row(CASE, name, setting, QUERIES, "queries", queries))
        rows.append(row(CASE, name, setting, "peak memory at that size", "MiB", growth))
    return rows


def _setting(tried: Plan) -> str:
    return f"Q x 2Q, {tried.query_tokens} x {tried.document_tokens} tokens, width {tried.dim}"

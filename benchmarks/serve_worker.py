"""The measuring process of the serve case: it starts servers and loads them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.record import Row, row
from benchmarks.serve import ALONE, BATCHING, CASE
from benchmarks.serve_load import Reply, load
from benchmarks.workers import answer


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case: each number of clients with both servers, then one server beyond what it takes."""
    rows: list[Row] = []
    with served(job, ()) as together, served(job, ("--no-batching",)) as alone:
        for clients in job["clients"]:
            for provider, port in ((BATCHING, together), (ALONE, alone)):
                load(port, job["requests"], clients=clients, seconds=job["warm_up"])
                replies = load(port, job["requests"], clients=clients, seconds=job["seconds"])
                _check(replies, {200})
                named = f"{job['texts']}, {clients} client{'s' if clients > 1 else ''}"
                rows += _measured(provider, named, replies)
    rows += _overloaded(job)
    return [each[1:] for each in rows]


@contextmanager
def served(job: dict[str, Any], options: Sequence[str]) -> Iterator[int]:
    """A server in a process of its own: its port. It must stop with 0."""
    command = [sys.executable, "-m", "rankgrad.deploy.serve", job["bundle"], "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        port = json.loads(process.stderr.readline())["port"]
        drained = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        yield port
        process.terminate()
        if process.wait(60) != 0:
            raise RuntimeError(f"the server ended with {process.returncode} instead of 0")
        drained.wait(10)
    finally:
        process.kill()
        process.wait()


def _overloaded(job: dict[str, Any]) -> list[Row]:
    """Twice as many clients as the server takes on: it answers or says 429, and nothing else."""
    clients = 2 * job["capacity"]
    with served(job, ("--max-requests", str(job["capacity"]))) as port:
        replies = load(port, job["requests"], clients=clients, seconds=job["seconds"])
    _check(replies, {200, 429})
    named = f"{job['texts']}, {clients} clients, room for {job['capacity']}"
    refused = sum(reply.status == 429 for reply in replies)
    rows = _measured(BATCHING, named, [reply for reply in replies if reply.status == 200])
    return [*rows, row(CASE, BATCHING, named, "share of 429", "%", 100 * refused / len(replies), len(replies))]


def _measured(provider: str, named: str, replies: Sequence[Reply]) -> list[Row]:
    times, count = [reply.milliseconds for reply in replies], len(replies)
    ends = [reply.begin + reply.milliseconds / 1e3 for reply in replies]
    seconds = max(ends) - min(reply.begin for reply in replies)
    print(f"{named}, {provider}: {count / seconds:.1f} requests/s", flush=True)
    return [
        row(CASE, provider, named, "throughput", "requests/s", count / seconds, count),
        row(CASE, provider, named, "latency, median", "ms", float(np.percentile(times, 50)), count),
        row(CASE, provider, named, "latency, 99th percentile", "ms", float(np.percentile(times, 99)), count),
    ]


def _check(replies: Sequence[Reply], allowed: set[int]) -> None:
    found = {reply.status for reply in replies}
    if not replies or not found <= allowed:
        raise RuntimeError(f"answers of status {sorted(found)} among {len(replies)}; expected {sorted(allowed)}")


if __name__ == "__main__":
    answer(work)

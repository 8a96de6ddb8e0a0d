"""The measuring process of the metrics case: agreement with the definition, then seconds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.left_out import unless_left_out
from benchmarks.measure import interleaved, spread
from benchmarks.metrics_data import Lists, definition, dictionaries, lists, write_files
from benchmarks.metrics_providers import NAMES, Call, Means, Provider, from_files, in_memory, installed, labelled
from benchmarks.parity import DisagreementError
from benchmarks.record import Row, row
from benchmarks.workers import answer

MEMORY, FILES = "lists in memory", "two TREC files, reading included"
SECONDS, DIFFERENCE = "time of nDCG@10, MAP, MRR and recall@10", "largest difference of a mean to float64"
_TOLERANCE = 1e-5


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    # Its threads are counted when it is imported, before which the peers must know.
    os.environ["NUMBA_NUM_THREADS"] = str(job["threads"])
    plural = "s" if job["threads"] > 1 else ""
    where = f"{job['threads']} thread{plural}" if job["device"] == "cpu" else job["device"]
    shape = f"{job['queries']:,} queries x {job['documents']} documents, {where}"
    data = lists(job["queries"], job["documents"], job["judged"])
    rows = _measured(f"{MEMORY}, {shape}", _in_memory(data, job["device"]), _means(data), job)
    if job["device"] == "cpu":
        shape = f"{job['queries_in_files']:,} queries x {job['documents']} documents, {where}"
        data = lists(job["queries_in_files"], job["documents"], job["judged"])
        files = write_files(data, Path(job["folder"]))
        rows += _measured(f"{FILES}, {shape}", from_files(*files), _means(data), job)
    return [each[1:] for each in rows]


def _means(data: Lists) -> list[float]:
    values = definition(data)
    return [float(values[name].mean()) for name in NAMES]


def _in_memory(data: Lists, device: str) -> Iterable[Provider]:
    return in_memory(data, *(dictionaries(data) if device == "cpu" else ({}, {})), device)


def _measured(setting: str, providers: Iterable[Provider], wanted: list[float], job: dict[str, Any]) -> list[Row]:
    rows: list[Row] = []
    repeated: dict[str, Call] = {}
    for provider in filter(installed, providers):
        name = labelled(provider)
        print(f"metrics, {setting}: {name}", flush=True)
        agreed = unless_left_out(name, setting, lambda provider=provider: _agreed(provider, wanted))
        if agreed is None:
            continue
        rows.append(row("", name, setting, DIFFERENCE, "", agreed.difference))
        if provider.slow:
            rows.append(row("", name, setting, SECONDS, "s", agreed.seconds))
        else:
            repeated[name] = _finished(agreed.call, job["device"])
    samples = interleaved(repeated, rounds=2 if job["quick"] else 5, warm_up=1)
    for name, times in samples.items():
        rows.append(row("", name, setting, SECONDS, "s", spread([each / 1e3 for each in times]), len(times)))
    return rows


class _Agreed(NamedTuple):
    call: Call
    difference: float
    seconds: float


def _agreed(provider: Provider, wanted: list[float]) -> _Agreed:
    """Run once; what takes half a minute is not run again for its time."""
    call, found = provider.prepare(), list[Means]()
    milliseconds = interleaved({"": lambda: found.append(call())}, rounds=1, warm_up=0)[""][0]
    difference = max(abs(ours - theirs) for ours, theirs in zip(found[0], wanted, strict=True))
    if not difference <= _TOLERANCE:
        raise DisagreementError(f"{provider.name}: a mean differs by {difference:.2g}, allowed is {_TOLERANCE:.0e}")
    return _Agreed(call, difference, milliseconds / 1e3)


def _finished(call: Call, device: str) -> Call:
    """The means are read on the host, so that a GPU has finished them."""
    return call if device == "cpu" else lambda: (torch.cuda.synchronize(), call())[1]


if __name__ == "__main__":
    answer(work)

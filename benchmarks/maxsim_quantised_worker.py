"""The measuring process of the quantised case: first agreement with what the codes stand for, then times."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import cuda_clock
from benchmarks.cuda_rows import rows_of_times
from benchmarks.left_out import unless_left_out
from benchmarks.maxsim_agreement import check, compare, exact
from benchmarks.maxsim_codes import Coded, coded
from benchmarks.maxsim_data import Batch, Shape, make
from benchmarks.maxsim_providers import Provider, installed
from benchmarks.maxsim_quantised import CASE
from benchmarks.maxsim_settings import QUERY, RERANK, Setting
from benchmarks.measure import interleaved, spread
from benchmarks.record import Row, row
from benchmarks.show import OURS
from benchmarks.workers import answer

# On a GPU a peer tunes itself at its first call; one that would begin later than this is left out: see maxsim_worker.
_PEERS_BEGIN_WITHIN = 30.0


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    rows: list[Row] = []
    device = job["device"]
    tuned: set[str] = set()
    deadline = float("inf") if device == "cpu" else time.monotonic() + _PEERS_BEGIN_WITHIN
    for each in job["shapes"]:
        shape = Shape(*each)
        named = Setting(RERANK, shape, {}).name(device, job["threads"])
        batch = make(shape, device=device, dtype=torch.float32 if device == "cpu" else torch.bfloat16)
        torch.manual_seed(0)
        kept = []
        for one in installed(coded(batch)):
            if time.monotonic() > deadline and one.name not in tuned and not one.name.startswith(OURS):
                print(f"left out: {one.name}, {named}: no time left", flush=True)
                continue
            tuned.add(one.name)
            found = unless_left_out(one.name, named, partial(_agreement, one, batch, named))
            if found is not None:
                kept.append(one)
                rows += [found, row(CASE, one.name, named, "size of a token", "bytes", one.token_bytes)]
        print(f"timing {CASE}, {named}", flush=True)
        with torch.no_grad():
            rows += (_on_cpu if device == "cpu" else _on_cuda)(kept, batch, named, quick=job["quick"])
    return [each[1:] for each in rows]


def _agreement(one: Coded, batch: Batch, named: str) -> Row:
    """How far the scores are from those of what the codes stand for."""
    documents = torch.zeros(batch.documents.shape, device=batch.documents.device)
    documents[batch.mask] = one.stands_for.float()
    stood_for = Batch(batch.queries, documents, batch.mask)
    provider = Provider(one.name, lambda queries, _, __: one.scores(queries, one.documents, batch))
    found = compare(provider, stood_for, exact(stood_for, torch.empty(0)))
    print(f"parity, {CASE}, {named}: {one.name}: scores differ by {found.scores:.1e}", flush=True)
    check(provider, stood_for, found)
    return row(CASE, one.name, named, "difference of scores", "", found.scores)


def _on_cpu(kept: list[Coded], batch: Batch, named: str, *, quick: bool) -> list[Row]:
    calls = {one.name: _call(one, one.documents, batch) for one in kept}
    samples = interleaved(calls, rounds=2 if quick else None, warm_up=1 if quick else 2)
    return [row(CASE, name, named, QUERY.metric, "ms", spread(found), len(found)) for name, found in samples.items()]


def _on_cuda(kept: list[Coded], batch: Batch, named: str, *, quick: bool) -> list[Row]:
    laps = {}
    for one in kept:
        copies = cuda_clock.copies(int(one.token_bytes * batch.packed.shape[0]))
        laps[one.name] = [_call(one, _copied(one.documents), batch) for _ in range(copies)]
    return rows_of_times(CASE, named, QUERY.metric, laps, quick=quick)


def _call(one: Coded, documents: Any, batch: Batch) -> Callable[[], Tensor]:
    return lambda: one.scores(batch.queries, documents, batch)


def _copied(documents: Any) -> Any:
    """The same values at another place in memory."""
    if isinstance(documents, Tensor):
        return documents.clone()
    return documents._replace(
        **{name: value.clone() for name, value in documents._asdict().items() if isinstance(value, Tensor)}
    )


if __name__ == "__main__":
    answer(work)

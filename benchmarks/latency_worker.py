"""The measuring process of the latency case: agreement, then times, then starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import parity
from benchmarks.latency import CASE, MILLISECONDS, RESIDENT, START, setting
from benchmarks.latency_elsewhere import Elsewhere
from benchmarks.latency_providers import Provider, Scores, providers
from benchmarks.latency_starts import starts
from benchmarks.left_out import unless_left_out
from benchmarks.measure import interleaved, spread
from benchmarks.record import Row, row
from benchmarks.workers import answer


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    folder, threads, quick = Path(job["folder"]), job["threads"], job["quick"]
    opened: dict[Provider, Scores] = {}
    for provider in providers(folder, threads, optimum=job["optimum"], quick=quick):
        print(f"opening {provider.name}", flush=True)
        found = unless_left_out(provider.name, "opening it", provider.open)
        if found is not None:
            opened[provider] = found
    rows: list[Row] = []
    for candidates in job["candidates"]:
        texts = (job["query_text"], job["passages"][:candidates])
        # Two or three texts hold too few pairs for an order to be judged.
        options = {"lowest_tau": -1.0, "rounds": 2} if quick else {"lowest_tau": 0.8, "rounds": None}
        rows += measured(setting(candidates, threads), opened, texts, **options)
    rows += _starts(job)
    return [each[1:] for each in rows]


def measured(
    named: str,
    opened: Mapping[Provider, Scores],
    texts: tuple[str, list[str]],
    *,
    lowest_tau: float,
    rounds: int | None,
) -> list[Row]:
    """How far each provider's scores are from the first's, then the times of those that agree."""
    query, documents = texts
    rows: list[Row] = []
    calls: dict[str, Callable[[], np.ndarray]] = {}
    reference: np.ndarray | None = None
    for provider, scores in opened.items():
        call = partial(scores, query, documents)
        found = unless_left_out(
            provider.name, named, partial(agreeing, provider, call, reference=reference, lowest_tau=lowest_tau)
        )
        if found is None:
            continue
        values, agreement = found
        if reference is None:
            reference = values
        else:
            print(f"parity, {named}: {provider.name}: difference {agreement.difference:.1e}", flush=True)
            rows.append(row(CASE, provider.name, named, "difference to torch", "", agreement.difference))
            rows.append(row(CASE, provider.name, named, "Kendall tau with torch", "", agreement.tau))
        calls[provider.name] = call
    print(f"timing {named}", flush=True)
    # Beside a process that only waits, others took up to a third longer: it is there for its own turns alone.
    apart = {provider.name: scores for provider, scores in opened.items() if isinstance(scores, Elsewhere)}
    for scores in apart.values():
        scores.close()
    samples = interleaved({n: call for n, call in calls.items() if n not in apart}, rounds=rounds, warm_up=1)
    for name, scores in apart.items():
        if name in calls:
            samples |= interleaved({name: calls[name]}, rounds=rounds, warm_up=1)
        scores.close()
    for name, milliseconds in samples.items():
        rows.append(row(CASE, name, named, MILLISECONDS, "ms", spread(milliseconds), len(milliseconds)))
    return rows


def agreeing(
    provider: Provider, call: Callable[[], np.ndarray], *, reference: np.ndarray | None, lowest_tau: float
) -> tuple[np.ndarray, parity.Agreement]:
    """The scores of a provider, and how far they are from the reference's, or from their own where there is none.

    Raises:
        DisagreementError: when they are too far.
    """
    values = call()
    found = parity.agreement(values if reference is None else reference, values)
    parity.check(provider.name, found, exact=provider.exact, lowest_tau=lowest_tau)
    return values, found


def _starts(job: dict[str, Any]) -> list[Row]:
    documents = job["passages"][: job["candidates"][0]]
    named = f"a new process, {len(documents)} candidates"
    rows: list[Row] = []
    for name, samples in starts(job, documents, rounds=1 if job["quick"] else 3).items():
        count = len(samples)
        rows.append(row(CASE, name, named, START, "ms", spread([each.milliseconds for each in samples]), count))
        rows.append(row(CASE, name, named, RESIDENT, "MiB", spread([each.mebibytes for each in samples]), count))
    return rows


if __name__ == "__main__":
    answer(work)

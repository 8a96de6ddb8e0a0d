"""The measuring process of the rerank case."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import parity
from benchmarks.measure import interleaved, spread
from benchmarks.record import Row, row
from benchmarks.rerank import CASE, CROSS_ENCODER, ENCODED, ENCODING, MILLISECONDS, setting
from benchmarks.rerank_providers import Call, Provider, Setup, cross_encoders, late_interaction
from benchmarks.workers import answer


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case, for one thread count: first the agreement of all, then the times."""
    setup = Setup(Path(job["folder"]), job["threads"], job["device"], job["quick"])
    print(f"rerank on {setup.device}: {setup.threads} thread(s) for torch and onnxruntime", flush=True)
    kinds = {
        CROSS_ENCODER: list(cross_encoders(setup)),
        ENCODED: list(late_interaction(setup, encoded=True)),
        ENCODING: list(late_interaction(setup, encoded=False)),
    }
    rows: list[Row] = []
    timed: dict[str, dict[str, Call]] = {}
    for kind, providers in kinds.items():
        for candidates in job["candidates"]:
            named = setting(kind, candidates, setup.threads)
            texts = (job["query_text"], job["passages"][:candidates])
            # Two or three texts hold too few pairs for an order to be judged.
            timed[named], agreements = _prepare(named, providers, texts, lowest_tau=-1.0 if setup.quick else 0.8)
            rows += agreements
    for named, calls in timed.items():
        print(f"timing {named}", flush=True)
        samples = interleaved(calls, rounds=2 if setup.quick else None, warm_up=1 if setup.quick else 2)
        for provider, milliseconds in samples.items():
            rows.append(row(CASE, provider, named, MILLISECONDS, "ms", spread(milliseconds), len(milliseconds)))
    return [each[1:] for each in rows]


def _prepare(
    named: str, providers: Iterable[Provider], texts: tuple[str, list[str]], *, lowest_tau: float
) -> tuple[dict[str, Call], list[Row]]:
    """What is timed, and how far each provider's scores are from the first's."""
    calls = {provider.name: provider.prepare(*texts) for provider in providers}
    rows: list[Row] = []
    reference: np.ndarray | None = None
    for provider in providers:
        scores = calls[provider.name]()
        if reference is None:
            reference = scores
            continue
        found = parity.agreement(reference, scores)
        print(f"parity, {named}: {provider.name}: difference {found.difference:.1e}, tau {found.tau:.3f}", flush=True)
        parity.check(provider.name, found, exact=provider.exact, lowest_tau=lowest_tau)
        rows.append(row(CASE, provider.name, named, "difference to torch", "", found.difference))
        rows.append(row(CASE, provider.name, named, "Kendall tau with torch", "", found.tau))
    return calls, rows


if __name__ == "__main__":
    answer(work)

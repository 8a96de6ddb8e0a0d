"""The measuring process of scoring: all providers in turn, and each one's memory in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from benchmarks import parity
from benchmarks.measure import interleaved, spread
from benchmarks.memory_peak import peak_growth
from benchmarks.record import Row, row
from benchmarks.throughput import CASE, OURS, PEER, RATE
from benchmarks.workers import answer, run_worker
from rankgrad.models import CrossEncoder
from rankgrad.models._folder import quiet

Score = Callable[[str, list[str]], np.ndarray]
_PADDINGS = {f"{OURS} packed": "packed", f"{OURS} grouped": "grouped"}


def work(job: dict[str, Any]) -> Any:
    """MiB of one provider's call where the job names it, else the rows of all, without their case."""
    if "provider" in job:
        score = _providers(job, half=False)[job["provider"]]
        pairs = job["pairs"][max(job["pairs"], key=int)]
        score(pairs["query"], pairs["documents"][:2])
        return peak_growth(lambda: score(pairs["query"], pairs["documents"]), device=job["device"])
    if find_spec("sentence_transformers") is None:
        print(f'skipped: {PEER}, scoring (not installed: pip install "rankgrad[bench]")')
    rows: list[Row] = []
    # Half precision is measured where there is hardware for it.
    for half in (False, True) if job["device"] != "cpu" else (False,):
        providers = _providers(job, half=half)
        for count, pairs in job["pairs"].items():
            rows += _compare(_setting(job, count, half), providers, pairs, quick=job["quick"], exact=not half)
    setting = _setting(job, max(job["pairs"], key=int), False)
    for provider in () if job["quick"] else _providers(job, half=False):
        grown = run_worker("benchmarks.throughput_worker", job | {"provider": provider}, threads=job["threads"])
        rows.append(row(CASE, provider, setting, "peak memory less that before scoring", "MiB", grown))
    return [each[1:] for each in rows]


def _setting(job: dict[str, Any], count: str, half: bool) -> str:
    where = f"{job['threads']} thread{'s' if job['threads'] > 1 else ''}" if job["device"] == "cpu" else job["device"]
    return f"scoring, {count} pairs, 16 to {job['longest']} tokens, {'bf16' if half else 'fp32'}, {where}"


def _providers(job: dict[str, Any], *, half: bool) -> dict[str, Score]:
    device = job["device"]
    found: dict[str, Score] = {}
    for name, padding in _PADDINGS.items():
        model = CrossEncoder.from_pretrained(job["folder"], padding=padding)  # type: ignore[arg-type]
        found[name] = partial(_ours, model.to(device), half)
    if find_spec("sentence_transformers") is not None:
        import sentence_transformers

        with quiet():
            peer = sentence_transformers.CrossEncoder(job["folder"], device=device, max_length=512)
        found[PEER] = partial(_theirs, peer, half)
    return found


def _precision(device: Any, half: bool) -> Any:
    return torch.autocast(torch.device(device).type, torch.bfloat16) if half else nullcontext()


def _ours(model: CrossEncoder, half: bool, query: str, documents: list[str]) -> np.ndarray:
    with torch.inference_mode(), _precision(model.device, half):
        return model.score([query] * len(documents), documents).float().cpu().numpy()


def _theirs(peer: Any, half: bool, query: str, documents: list[str]) -> np.ndarray:
    with _precision(peer.device, half):
        return peer.predict([(query, text) for text in documents], activation_fn=torch.nn.Identity())


def _compare(
    setting: str, providers: dict[str, Score], pairs: dict[str, Any], *, quick: bool, exact: bool
) -> list[Row]:
    calls = {name: partial(score, pairs["query"], pairs["documents"]) for name, score in providers.items()}
    reference, rows = None, []
    for name, call in calls.items():
        scores = call()
        reference = scores if reference is None else reference
        found = parity.agreement(reference, scores)
        print(f"parity, {setting}: {name}: difference {found.difference:.1e}, tau {found.tau:.3f}", flush=True)
        parity.check(name, found, exact=exact, lowest_tau=0.9)
        rows.append(row(CASE, name, setting, "difference to the first", "", found.difference))
    samples = interleaved(calls, rounds=2 if quick else None, warm_up=1, seconds=25.0)
    for name, milliseconds in samples.items():
        rates = [1e3 * pairs["tokens"] / each for each in milliseconds]
        rows.append(row(CASE, name, setting, RATE, "tokens/s", spread(rates), len(rates)))
    return rows


if __name__ == "__main__":
    answer(work)

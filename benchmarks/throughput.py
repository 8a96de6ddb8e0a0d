"""Cross-encoders on texts of mixed length: tokens a second and memory, in scoring and in training.

Pairs of 16 to 256 tokens, every length as likely, of real words. Tokens are counted without padding, for all alike.
"""

from __future__ import annotations

import os
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import spread
from benchmarks.options import Options
from benchmarks.random_model import source
from benchmarks.record import Row, row
from benchmarks.rerank import spread_scores
from benchmarks.throughput_data import mixed_pairs, training_batches
from benchmarks.workers import WorkerError, run_worker

CASE = "throughput"
OURS, PEER = "rankgrad", "sentence-transformers"
RATE = "throughput, tokens without padding"
WARM_UP = 2
_TOLERANCE = 1e-4
_TRAINERS = {OURS: "benchmarks.training_ours", PEER: "benchmarks.training_peer"}


def run(options: Options) -> list[Row]:
    """Score and train with the same weights and texts; scores and first losses must agree."""
    import torch

    from rankgrad.models import CrossEncoder

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = 1 if options.quick else cores
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        model = CrossEncoder.from_pretrained(source(options.model, Path(folder), quick=options.quick), head="cls")
        spread_scores(model)
        model.save_pretrained(Path(folder) / "cross_encoder")
        longest = 40 if options.quick else 256
        pairs = {count: mixed_pairs(model, count, longest, quick=options.quick) for count in _counts(options)}
        job: dict[str, Any] = options.__dict__ | {"folder": str(Path(folder) / "cross_encoder"), "longest": longest}
        job["pairs"] = {str(count): each for count, each in pairs.items()}
        rows = [Row(CASE, *each) for each in _worker("benchmarks.throughput_worker", job, threads)]
        if options.device == "cpu":
            data = training_batches(model, steps=2 if options.quick else 6, longest=longest, quick=options.quick)
            common = {"kind": "cross-encoder", "folder": job["folder"], "quick": options.quick}
            rows += _train(common | {"data": data}, longest, threads)
    return rows


def _worker(module: str, job: dict[str, Any], threads: int) -> Any:
    """What a worker answers; without a process of its own where nothing is measured."""
    if job["quick"]:
        return import_module(module).work(job | {"threads": threads})
    return run_worker(module, job, threads=threads)


def _counts(options: Options) -> tuple[int, ...]:
    return (4,) if options.quick else (32, 100)


def _train(job: dict[str, Any], longest: int, threads: int) -> list[Row]:
    """A training of each provider, in a process of its own: rates of the steps behind the warm-up, and memory."""
    queries, documents = len(job["data"][0]["queries"]), len(job["data"][0]["documents"][0])
    plural = "s" if threads > 1 else ""
    setting = f"training, {queries} x {documents} pairs, 16 to {longest} tokens, fp32, {threads} thread{plural}"
    found: dict[str, Any] = {}
    for provider, module in _TRAINERS.items():
        missing = [name for name in ("sentence_transformers", "datasets", "accelerate") if find_spec(name) is None]
        if provider == PEER and missing:
            print(f'skipped: {provider}, training ({", ".join(missing)} not installed: pip install "rankgrad[bench]")')
            continue
        print(f"{setting}: {provider}", flush=True)
        found[provider] = _worker(module, job | {"precision": "fp32"}, threads)
    tokens = [each["tokens"] for each in job["data"]]
    warm_up = min(WARM_UP, len(tokens) - 1)
    rows = []
    for provider, result in found.items():
        difference = abs(result["loss"] - found[OURS]["loss"]) / max(1.0, abs(found[OURS]["loss"]))
        print(f"parity, {setting}: {provider}: loss of the first batch {result['loss']:.6f}", flush=True)
        if not difference <= _TOLERANCE:
            raise WorkerError(
                f"{provider} begins with loss {result['loss']:.6f}, {OURS} with {found[OURS]['loss']:.6f}"
            )
        rates = [count / second for count, second in zip(tokens, result["seconds"], strict=True)][warm_up:]
        rows.append(row(CASE, provider, setting, RATE, "tokens/s", spread(rates), len(rates)))
        rows.append(row(CASE, provider, setting, "loss of the first batch, relative difference", "", difference))
        # Without a process of its own the memory is not its own.
        if not job["quick"]:
            rows.append(row(CASE, provider, setting, "peak memory less that before training", "MiB", result["growth"]))
    return rows

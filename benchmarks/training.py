"""Training throughput and memory beside sentence-transformers' trainer."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import spread
from benchmarks.options import Options
from benchmarks.random_model import source
from benchmarks.record import Row, row
from benchmarks.training_data import training_batches
from benchmarks.workers import WorkerError, run_worker

CASE = "training"
OURS, PEER = "rankgrad", "sentence-transformers"
WARM_UP = 2
PRECISIONS = ("fp32", "bf16")
TOLERANCES = {"fp32": 1e-4, "bf16": 5e-2}
_MODULES = {OURS: "benchmarks.training_ours", PEER: "benchmarks.training_peer"}


def run(options: Options) -> list[Row]:
    """Train each model in each precision with each provider, every time in a process of its own.

    The same weights, texts, batches, order, steps, AdamW, learning rate schedule and clipping; each provider's own
    padding, and each one's default implementation of AdamW. Tokens are counted once, without padding, for both.
    """
    if options.device != "cpu":
        raise WorkerError("the training case is measured on the CPU: leave --device out")
    threads = 1 if options.quick else _cores()
    steps, batch = (WARM_UP + 2, 2) if options.quick else (WARM_UP + 8, 16)
    length = 24 if options.quick else 180
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, negatives, quick in (("cross-encoder", 3, "fp32"), ("late interaction", 1, "bf16")):
            job = _prepare(options, Path(folder), kind, steps=steps, batch=batch, negatives=negatives, length=length)
            for precision in (quick,) if options.quick else PRECISIONS:
                rows += _compare(job | {"precision": precision}, threads=threads)
    return rows


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(options: Options, folder: Path, kind: str, **sizes: int) -> dict[str, Any]:
    """Write the model that both load and the batches that both read."""
    import torch

    from rankgrad.models import ColBERT, CrossEncoder

    torch.manual_seed(0)
    name = source(options.model, folder, quick=options.quick)
    if kind == "cross-encoder":
        model = CrossEncoder.from_pretrained(name, head="cls")
    else:
        model = ColBERT.from_pretrained(name, dim=16 if options.quick else 128)
    target = folder / kind.replace(" ", "_")
    model.save_pretrained(target)
    batches = training_batches(model.tokenizer, quick=options.quick, **sizes)
    return {"kind": kind, "folder": str(target), "data": [asdict(each) for each in batches]}


def _compare(job: dict[str, Any], *, threads: int) -> list[Row]:
    queries, documents = len(job["data"][0]["queries"]), len(job["data"][0]["documents"][0])
    plural = "s" if threads > 1 else ""
    setting = f"{job['kind']}, {queries} queries x {documents} documents, {job['precision']}, {threads} thread{plural}"
    found: dict[str, Any] = {}
    for provider, module in _MODULES.items():
        missing = [name for name in ("sentence_transformers", "datasets", "accelerate") if find_spec(name) is None]
        if provider == PEER and missing:
            print(f'skipped: {provider} ({", ".join(missing)} not installed: pip install "rankgrad[bench]")')
            continue
        print(f"training, {setting}: {provider}", flush=True)
        found[provider] = run_worker(module, job, threads=threads)
    rows = []
    tokens = [each["tokens"] for each in job["data"]]
    reference = found[OURS]["loss"]
    for provider, result in found.items():
        difference = abs(result["loss"] - reference) / max(1.0, abs(reference))
        print(f"parity, {setting}: {provider}: loss of the first batch {result['loss']:.6f}", flush=True)
        if not difference <= TOLERANCES[job["precision"]]:
            raise WorkerError(f"{provider} begins with loss {result['loss']:.6f}, {OURS} with {reference:.6f}")
        rates = [count / second for count, second in zip(tokens, result["seconds"], strict=True)][WARM_UP:]
        rows += [
            row(CASE, provider, setting, "throughput, tokens without padding", "tokens/s", spread(rates), len(rates)),
            row(CASE, provider, setting, "peak memory of the process", "MiB", result["peak"]),
            row(CASE, provider, setting, "peak memory less that before training", "MiB", result["growth"]),
            row(CASE, provider, setting, "loss of the first batch, relative difference", "", difference),
        ]
    return rows

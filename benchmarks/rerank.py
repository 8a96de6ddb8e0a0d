"""Reranking: milliseconds a query, from the texts (or the encoded documents) to the scores.

A query of 8 tokens, passages of 120, of real words; special tokens come on top.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.options import Options
from benchmarks.random_model import source
from benchmarks.record import Row
from benchmarks.texts import documentation, exact_texts
from benchmarks.workers import run_worker

CASE = "rerank"
CROSS_ENCODER = "cross-encoder"
ENCODED = "late interaction, documents encoded before"
ENCODING = "late interaction, documents encoded too"
MILLISECONDS = "time a query"


class Quote(NamedTuple):
    """A number of the field: where it comes from, and the setting it is about."""

    setting: str
    candidates: int
    milliseconds: float
    source: str


QUOTES = (
    Quote(ENCODED, 100, 23.0, "Vespa blog, 'Announcing the Vespa ColBERT embedder', 2024: one CPU thread"),
    Quote(CROSS_ENCODER, 10, 80.0, "often repeated, its source not found"),
)


def setting(kind: str, candidates: int, threads: int) -> str:
    """The name of a setting; the thread count is that of torch and of ONNX Runtime."""
    return f"{kind}, {candidates} candidates, {threads} thread{'s' if threads > 1 else ''}"


def run(options: Options) -> list[Row]:
    """Make the models and bundles once, then measure with each thread count in a process of its own."""
    sizes = {"query": 4, "passage": 8, "candidates": [2, 3]} if options.quick else {}
    job: dict[str, Any] = {"query": 8, "passage": 120, "candidates": [10, 100], **sizes}
    with tempfile.TemporaryDirectory() as folder:
        job |= options.__dict__ | {"folder": folder} | _prepare(options, Path(folder), job)
        rows = []
        for threads in (1,) if options.quick or options.device != "cpu" else (1, 2):
            found = run_worker("benchmarks.rerank_worker", job, threads=threads)
            rows += [Row(CASE, *each) for each in found]
    _print_quotes(rows)
    return rows


def _prepare(options: Options, folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Write the texts' model folders and, on a CPU, the bundles; give back the texts."""
    import torch

    from rankgrad.export import export_bundle
    from rankgrad.models import ColBERT, CrossEncoder
    from rankgrad.training import quiet_lightning

    torch.manual_seed(0)
    name = source(options.model, folder, quick=options.quick)
    cross_encoder = CrossEncoder.from_pretrained(name, head="cls")
    spread_scores(cross_encoder)
    task = documentation(quick=options.quick)
    tokenizer = cross_encoder.tokenizer.tokenizer
    passages = exact_texts(tokenizer, task.documents.texts, tokens=job["passage"], count=max(job["candidates"]))
    query = exact_texts(tokenizer, task.queries.texts, tokens=job["query"], count=1)[0]
    colbert = ColBERT.from_pretrained(name, dim=16 if options.quick else 128).fit_projection(passages)
    cross_encoder.save_pretrained(folder / "cross_encoder")
    colbert.save_pretrained(folder / "colbert")
    if options.device == "cpu":
        with quiet_lightning():
            for model, kind in ((cross_encoder, "cross_encoder"), (colbert, "colbert")):
                print(f"exporting {kind}", flush=True)
                # Agreement is checked on the texts that are measured; these heads are not trained to rank.
                export_bundle(model, folder / f"{kind}_bundle", rank_agreement=-1.0)
    return {"query_text": query, "passages": passages}


def spread_scores(cross_encoder: Any) -> None:
    """Make a fresh classifier's scores differ by about 1, so that a tolerance and an order mean something."""
    import torch

    classifier = cross_encoder.backbone.classifier
    with torch.no_grad():
        classifier.weight.normal_()
        classifier.bias.zero_()


def _print_quotes(rows: list[Row]) -> None:
    for quote in QUOTES:
        begins = f"{quote.setting}, {quote.candidates} candidates, "
        for row in rows:
            if row.metric == MILLISECONDS and row.setting.startswith(begins):
                verdict = "under" if row.p50 < quote.milliseconds else "over"
                print(
                    f"quoted {quote.milliseconds:g} ms ({quote.source}); {row.provider}: {row.p50:.1f} ms with "
                    f"{row.setting.removeprefix(begins)}: {verdict}"
                )

"""Who computes ranking metrics: each provider turns lists, or two files, into a call that gives four means.

What a package loads or compiles at its first call is no part of the call: it is imported, and where it compiles it is
called on a few queries, before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.metrics_data import Lists
from benchmarks.show import OURS
from rankgrad.data import judged_lists, read_qrels, stream_run
from rankgrad.metrics import NDCG, AveragePrecision, Recall, ReciprocalRank, measure_lists

NAMES = ("nDCG@10", "MAP", "MRR", "recall@10")
METRICS = (NDCG(k=10), AveragePrecision(), ReciprocalRank(), Recall(k=10))
_FEW = 3
_TREC = ("ndcg_cut_10", "map", "recip_rank", "recall_10")
Means = list[float]
Call = Callable[[], Means]


class Provider(NamedTuple):
    """Its name; the package it needs; ``prepare``, whose result is timed; ``slow``: once is enough."""

    name: str
    package: str
    prepare: Callable[[], Call]
    slow: bool = False


def in_memory(data: Lists, run: dict[str, Any], qrels: dict[str, Any], device: str) -> Iterator[Provider]:
    """Lists as each provider wants them, made off the clock."""
    scores, grades = (torch.from_numpy(each).to(device) for each in (data.scores, data.grades))
    yield Provider(OURS, "rankgrad", lambda: lambda: _ours(scores, grades))
    yield Provider("plain torch, dense", "torch", lambda: lambda: _plain(scores, grades))
    yield Provider("torchmetrics", "torchmetrics", lambda: _torchmetrics(scores, grades), slow=True)
    if device != "cpu":
        return
    yield Provider("ranx", "ranx", lambda: _ranx(run, qrels), slow=True)
    yield Provider("pytrec_eval", "pytrec_eval", lambda: _pytrec_eval(run, qrels), slow=True)
    yield Provider("ir-measures", "ir_measures", lambda: _ir_measures(run, qrels), slow=True)


def from_files(run: Path, qrels: Path) -> Iterator[Provider]:
    """Reading included."""
    yield Provider(OURS, "rankgrad", lambda: lambda: _our_files(run, qrels))
    yield Provider("ranx", "ranx", lambda: _ranx_files(run, qrels), slow=True)
    yield Provider("pytrec_eval", "pytrec_eval", lambda: lambda: _pytrec_eval_files(run, qrels))
    yield Provider("ir-measures", "ir_measures", lambda: _ir_measures_files(run, qrels), slow=True)


def installed(provider: Provider) -> bool:
    """Is the package there? A line says so where it is not."""
    if find_spec(provider.package) is not None:
        return True
    print(f"skipped: {provider.name} (not installed: pip install {provider.name.replace('_', '-')})", flush=True)
    return False


def labelled(provider: Provider) -> str:
    """The name with the version of what is not ours."""
    package = {"pytrec_eval": "pytrec-eval-terrier", "ir_measures": "ir-measures"}.get(
        provider.package, provider.package
    )
    return provider.name if provider.package in ("rankgrad", "torch") else f"{provider.name} {version(package)}"


def _ours(scores: torch.Tensor, grades: torch.Tensor) -> Means:
    found = measure_lists(METRICS, scores, grades)
    return [float(found[name].mean()) for name in NAMES]


def _our_files(run: Path, qrels: Path) -> Means:
    values: dict[str, list[torch.Tensor]] = {name: [] for name in NAMES}
    for part in judged_lists(stream_run(run), read_qrels(qrels)):
        found = measure_lists(
            METRICS, part.scores, part.labels, part.mask, judged=part.judged, tie_order=part.tie_order
        )
        for name in NAMES:
            values[name].append(found[name])
    return [float(torch.cat(values[name]).mean()) for name in NAMES]


def _plain(scores: torch.Tensor, grades: torch.Tensor) -> Means:
    """What one would write: sort, gather, sum."""
    grades = grades.clamp(min=0).float()
    ordered = grades.gather(1, scores.argsort(dim=1, descending=True))
    ideal = grades.sort(dim=1, descending=True).values[:, :10]
    ranks = torch.arange(1, grades.shape[1] + 1, device=grades.device)
    relevant = (ordered >= 1).float()
    total = relevant.sum(dim=1)
    discounts = 1 / torch.log2(1 + ranks[:10])
    values = (
        (ordered[:, :10] * discounts).sum(dim=1) / (ideal * discounts).sum(dim=1),
        (relevant * relevant.cumsum(dim=1) / ranks).sum(dim=1) / total,
        (relevant / ranks).amax(dim=1),
        relevant[:, :10].sum(dim=1) / total,
    )
    return [float(each.mean()) for each in values]


def _torchmetrics(scores: torch.Tensor, grades: torch.Tensor) -> Call:
    from torchmetrics import retrieval

    target = grades.clamp(min=0).flatten()
    indexes = torch.arange(len(scores), device=scores.device).repeat_interleave(scores.shape[1])
    # Its average precision takes scores of 0 or less for irrelevant.
    preds = scores.flatten() + 1

    def means() -> Means:
        graded = retrieval.RetrievalNormalizedDCG(top_k=10)(preds, target, indexes)
        classes = (retrieval.RetrievalMAP(), retrieval.RetrievalMRR(), retrieval.RetrievalRecall(top_k=10))
        return [float(graded), *(float(one(preds, target >= 1, indexes)) for one in classes)]

    return means


def _ranx(run: dict[str, Any], qrels: dict[str, Any]) -> Call:
    import ranx  # pyright: ignore[reportMissingImports]

    few = list(qrels)[:_FEW]
    _ranx_means(ranx.Qrels({query: qrels[query] for query in few}), ranx.Run({query: run[query] for query in few}))
    ready = ranx.Qrels(qrels), ranx.Run(run)
    return lambda: _ranx_means(*ready)


def _ranx_files(run: Path, qrels: Path) -> Call:
    import ranx  # pyright: ignore[reportMissingImports]

    few = {str(query): {"a": 1, "b": 2} for query in range(_FEW)}
    _ranx_means(ranx.Qrels(few), ranx.Run({query: {"a": 1.0, "b": 2.0} for query in few}))
    return lambda: _ranx_means(ranx.Qrels.from_file(str(qrels), kind="trec"), ranx.Run.from_file(str(run), kind="trec"))


def _ranx_means(qrels: Any, run: Any) -> Means:
    import ranx  # pyright: ignore[reportMissingImports]

    found = ranx.evaluate(qrels, run, ["ndcg@10", "map", "mrr", "recall@10"])
    return [float(found[name]) for name in ("ndcg@10", "map", "mrr", "recall@10")]


def _pytrec_eval(run: dict[str, Any], qrels: dict[str, Any]) -> Call:
    import pytrec_eval  # pyright: ignore[reportMissingImports]

    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "map", "recip_rank", "recall.10"})

    def means() -> Means:
        found = list(evaluator.evaluate(run).values())
        return [float(np.mean([each[name] for each in found])) for name in _TREC]

    return means


def _pytrec_eval_files(run: Path, qrels: Path) -> Means:
    import pytrec_eval  # pyright: ignore[reportMissingImports]

    with qrels.open() as file:
        judged = pytrec_eval.parse_qrel(file)
    with run.open() as file:
        return _pytrec_eval(pytrec_eval.parse_run(file), judged)()


def _ir_measures(run: Any, qrels: Any) -> Call:
    import ir_measures  # pyright: ignore[reportMissingImports]

    measures = [ir_measures.nDCG @ 10, ir_measures.AP, ir_measures.RR, ir_measures.R @ 10]

    def means() -> Means:
        found = ir_measures.calc_aggregate(measures, qrels, run)
        return [float(found[measure]) for measure in measures]

    return means


def _ir_measures_files(run: Path, qrels: Path) -> Call:
    import ir_measures  # pyright: ignore[reportMissingImports]

    return lambda: _ir_measures(ir_measures.read_trec_run(str(run)), ir_measures.read_trec_qrels(str(qrels)))()

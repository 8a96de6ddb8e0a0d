"""TREC runs as rankings, the fusion that was asked for, and its measures."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from rankgrad import fuse
from rankgrad._checks import InputError
from rankgrad.cli._fusion_methods import RRF_K, FusionSettings, fusion_of
from rankgrad.data import read_qrels, read_run
from rankgrad.data.judged_lists import judged_lists
from rankgrad.data.records import Qrels, Run
from rankgrad.fuse.explain import Contributing
from rankgrad.metrics import NDCG, AveragePrecision, Recall, measure_lists
from rankgrad.types import Ranking


class Runs(NamedTuple):
    """Runs over the union of their queries; a document's row is its place among all ids, sorted."""

    names: tuple[str, ...]
    queries: tuple[str, ...]
    documents: tuple[str, ...]
    runs: tuple[Run, ...]
    rankings: tuple[Ranking, ...]
    judgements: fuse.Judgements | None
    qrels: Qrels


class Fused(NamedTuple):
    """A fused run and the module that made it."""

    run: Run
    fusion: Contributing


def read_runs(paths: Sequence[Path], qrels_path: Path | None) -> Runs:
    """Read runs and judgements.

    Raises:
        InputError: for a file that cannot be used, or judgements of other queries.
    """
    runs = tuple(read_run(path) for path in paths)
    qrels = {} if qrels_path is None else read_qrels(qrels_path)
    queries = tuple(dict.fromkeys(query for run in runs for query in run))
    if qrels_path is not None and not any(query in qrels for query in queries):
        raise InputError(f"no query of the runs is judged in {qrels_path}: compare their first columns")
    documents = tuple(sorted({name for run in runs for scores in run.values() for name in scores}))
    rows = {name: row for row, name in enumerate(documents)}
    judgements = None
    if qrels_path is not None:
        # Judged documents that no run holds get rows beyond those of the runs.
        judged = {name: rows.get(name, -1) for grades in qrels.values() for name in grades}
        missing = (name for name, row in judged.items() if row < 0)
        judged |= {name: len(documents) + place for place, name in enumerate(missing)}
        found = _padded([qrels.get(query, {}) for query in queries], judged)
        judgements = fuse.Judgements(found.ids, found.scores.clamp(min=0), found.mask)
    rankings = tuple(_padded([run.get(query, {}) for query in queries], rows) for run in runs)
    return Runs(_names(paths), queries, documents, runs, rankings, judgements, qrels)


def fuse_runs(runs: Runs, arguments: argparse.Namespace) -> Fused:
    """Make one run of several.

    Raises:
        InputError: for an option out of range.
    """
    fusion = _fusion(runs, arguments)
    with torch.no_grad():
        fused = fusion(runs.rankings)
    cut = arguments.depth
    found: Run = {}
    for query, ids, scores, count in zip(
        runs.queries, fused.ids.tolist(), fused.scores.tolist(), fused.mask.sum(dim=1).tolist(), strict=True
    ):
        keep = count if cut is None else min(cut, count)
        found[query] = {runs.documents[row]: score for row, score in zip(ids[:keep], scores[:keep], strict=True)}
    return Fused(found, fusion)


def measure(runs: Runs, fused: Fused) -> Iterator[tuple[str, list[float]]]:
    """nDCG@10, MAP and recall@100 of each run and of the fused one, as ``rankgrad evaluate --run`` gives them."""
    metrics = (NDCG(k=10), AveragePrecision(), Recall(k=100))
    for name, run in (*zip(runs.names, runs.runs, strict=True), ("fused", fused.run)):
        values: list[list[float]] = [[] for _ in metrics]
        for part in judged_lists(run, runs.qrels, complete=True):
            found = measure_lists(
                metrics, part.scores, part.labels, part.mask, judged=part.judged, tie_order=part.tie_order
            )
            absent = ~part.mask.any(dim=-1)
            for place, each in enumerate(found.values()):
                values[place] += each.masked_fill(absent, 0.0).tolist()
        yield name, [sum(each) / len(each) for each in values]


def _fusion(runs: Runs, arguments: argparse.Namespace) -> Contributing:
    given = FusionSettings(arguments.method, arguments.weights, arguments.k, arguments.persistence, arguments.normalise)
    if given.method == "learned" and runs.judgements is not None:
        fusion = fuse.LearnedFusion(len(runs.rankings), k=RRF_K if given.k is None else given.k)
        fusion.fit(runs.rankings, runs.judgements)
        return fusion
    return fusion_of(given)


def _padded(rows: list[dict[str, int]] | list[dict[str, float]], places: dict[str, int]) -> Ranking:
    width = max(map(len, rows), default=0)
    ids = torch.full((len(rows), width), -1)
    scores = torch.full((len(rows), width), -torch.inf, dtype=torch.float64)
    for row, entries in enumerate(rows):
        ids[row, : len(entries)] = torch.tensor([places[name] for name in entries], dtype=torch.int64)
        scores[row, : len(entries)] = torch.tensor(list(entries.values()), dtype=torch.float64)
    return Ranking(ids, scores, ids >= 0)


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    """The files' names; whole paths where names repeat."""
    names = tuple(path.name for path in paths)
    return names if len(set(names)) == len(names) else tuple(map(str, paths))

"""``rankgrad evaluate`` on rows of features: learning-to-rank files and the rankers that read them."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad.cli._cascade import stage_line
from rankgrad.cli._checkpoint import is_checkpoint
from rankgrad.cli._load import is_bundle, load_feature_ranker
from rankgrad.cli._show import note

if TYPE_CHECKING:
    from torch import Tensor

    from rankgrad.cli._load import FeatureModel
    from rankgrad.data import FeatureTable
    from rankgrad.evaluation import Report, SystemResult

_FILES = ("train", "vali", "test")
_WARM_UP = 3


def feature_file(data: Path, split: str) -> Path | None:
    """The svmlight file that ``--data`` and ``--split`` mean; None where they mean a collection of texts.

    Raises:
        InputError: for a folder of such files without that split.
    """
    if data.is_file():
        return data
    if (data / "corpus.jsonl").exists() or not any((data / f"{name}.txt").is_file() for name in (*_FILES, split)):
        return None
    if not (data / f"{split}.txt").is_file():
        there = ", ".join(sorted(path.stem for path in data.glob("*.txt")))
        raise InputError(f"{data} has no {split}.txt: choose --split among {there}")
    return data / f"{split}.txt"


def evaluate_features(rows: Path, arguments: argparse.Namespace) -> Report:
    """Measure each model on the queries of a file, compared with the first.

    Of a cascade it is said on standard error how many rows each stage scores, and what that is expected to cost.

    Raises:
        InputError: for no model, malformed rows, or a model of other features.
    """
    if not arguments.model:
        raise InputError(f"nothing to measure on {rows}: give a feature ranker or its bundle as --model")
    import torch

    from rankgrad.data import read_letor
    from rankgrad.evaluation import Report, compare

    folders = _named(arguments.model)
    models = {name: load_feature_ranker(folder) for name, folder in folders.items()}
    counts = {name: model.features for name, model in models.items()}
    if len(set(counts.values())) > 1:
        raise InputError(f"--model: the models read different numbers of features: {counts}; measure them apart")
    sizes = rows.with_name(f"{rows.name}.query")
    features = next(iter(counts.values()))
    table = read_letor(rows, query_sizes=sizes if sizes.is_file() else None, features=features)
    chosen = _draw(len(table.queries), arguments.queries, arguments.seed)
    systems, runs = [], {}
    for name, model in models.items():
        scores, milliseconds = _score(model, table, chosen)
        systems.append(_result(name, table, chosen, scores, milliseconds, arguments.k))
        runs[name] = _run(table, chosen, scores)
    lengths = table.cu_seqlens.diff()[chosen]
    for name, model in models.items():
        said = stage_line(name, model, folders[name], lengths)
        if said is not None:
            note(said)
    baseline = systems[0].name
    return Report(
        collection=rows.name,
        documents=len(table.labels),
        queries=tuple(table.queries[query] for query in chosen),
        baseline=baseline,
        metrics=tuple(systems[0].values),
        systems=tuple(systems),
        comparisons=compare({each.name: each.values for each in systems}, baseline, seed=arguments.seed),
        threads=torch.get_num_threads(),
        seed=arguments.seed,
        runs=runs,
    )


def _named(folders: list[Path]) -> dict[str, Path]:
    """A name for each model: its folder, its run's, or its run's and the step; and that it is a bundle."""
    named: dict[str, Path] = {}
    for folder in folders:
        path = folder.resolve()
        if is_checkpoint(folder):
            named[f"{path.parent.parent.name} {path.stem} torch"] = folder
            continue
        name = path.parent.name if path.name == "best" else path.name
        named[f"{name} {'fp32' if is_bundle(folder) else 'torch'}"] = folder
    if len(named) < len(folders):
        raise InputError("--model: two folders have the same name: rename one, or measure them apart")
    return named


def _draw(count: int, wanted: int | None, seed: int) -> list[int]:
    """Which queries: all, or so many at random."""
    if wanted is None or wanted >= count:
        return list(range(count))
    import numpy as np

    return sorted(np.random.default_rng(seed).choice(count, wanted, replace=False).tolist())


def _score(model: FeatureModel, table: FeatureTable, chosen: list[int]) -> tuple[list[Tensor], list[float]]:
    """The scores of each query's rows, and what each query took."""
    score, scores, milliseconds = _scorer(model), [], []
    for query in [*chosen[:_WARM_UP], *chosen]:
        first, end = table.cu_seqlens[query : query + 2].tolist()
        start = time.perf_counter()
        scores.append(score(table.features[first:end]))
        milliseconds.append((time.perf_counter() - start) * 1e3)
    warm = min(_WARM_UP, len(chosen))
    return scores[warm:], milliseconds[warm:]


def _scorer(model: FeatureModel) -> Callable[[Tensor], Tensor]:
    """What scores one list of rows, with a bundle or with torch."""
    import torch

    from rankgrad import deploy

    if isinstance(model, deploy.FeatureRanker):
        return lambda rows: torch.from_numpy(model.score([rows.numpy()])[0])

    def score(rows: Tensor) -> Tensor:
        with torch.inference_mode():
            return model.forward_lists(rows[None], torch.ones(1, len(rows), dtype=torch.bool))[0]

    return score


def _result(
    name: str, table: FeatureTable, chosen: list[int], scores: list[Tensor], milliseconds: list[float], k: int
) -> SystemResult:
    from torch.nn.utils.rnn import pad_sequence

    from rankgrad.data import collate_features
    from rankgrad.evaluation import SystemResult
    from rankgrad.metrics import NDCG, AveragePrecision, ReciprocalRank, measure_lists

    spans = [table.cu_seqlens[query : query + 2].tolist() for query in chosen]
    batch = collate_features([(table.features[start:end], table.labels[start:end]) for start, end in spans])
    metrics = [NDCG(k=k), ReciprocalRank(k=k), AveragePrecision()]
    values = measure_lists(metrics, pad_sequence(scores, batch_first=True), batch.labels, batch.mask)
    return SystemResult(name, {key: tuple(each.tolist()) for key, each in values.items()}, tuple(milliseconds))


def _run(table: FeatureTable, chosen: list[int], scores: list[Tensor]) -> dict[str, dict[str, float]]:
    """Scores by query and row number of the table, from 1."""
    run = {}
    for query, values in zip(chosen, scores, strict=True):
        first = int(table.cu_seqlens[query])
        run[table.queries[query]] = {str(first + place): score for place, score in enumerate(values.tolist(), 1)}
    return run

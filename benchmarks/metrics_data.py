"""Queries with ranked documents, some of them judged: as tensors, as dictionaries, as TREC files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

_COLLECTION = 1_000_000


class Lists(NamedTuple):
    """``[queries, documents]`` each: scores without ties; grades 0 to 3, -1 where nobody judged; document numbers."""

    scores: np.ndarray
    grades: np.ndarray
    documents: np.ndarray


def lists(queries: int, documents: int, judged: int) -> Lists:
    """Random lists. All judged documents are retrieved, since some metrics that are compared know of no others."""
    generator = np.random.default_rng(0)
    # Different multiples of a 64th: six decimals of a file hold them exactly.
    scores = generator.permuted(np.tile(np.arange(documents, dtype=np.float32) / 64, (queries, 1)), axis=1)
    grades = generator.integers(0, 4, size=(queries, documents))
    grades[:, 0] = 1
    grades[:, judged:] = -1
    grades = generator.permuted(grades, axis=1)
    start = generator.integers(0, _COLLECTION, size=(queries, 1))
    return Lists(scores, grades, (start + 7919 * np.arange(documents)) % _COLLECTION)


def dictionaries(data: Lists) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, int]]]:
    """The run and the judgements."""
    names = [f"D{number:07d}" for number in range(_COLLECTION)]
    run, qrels = {}, {}
    for place, (scores, grades, numbers) in enumerate(zip(*(each.tolist() for each in data), strict=True)):
        ids = [names[number] for number in numbers]
        run[f"q{place}"] = dict(zip(ids, scores, strict=True))
        qrels[f"q{place}"] = {name: grade for name, grade in zip(ids, grades, strict=True) if grade >= 0}
    return run, qrels


def write_files(data: Lists, folder: Path) -> tuple[Path, Path]:
    """A run, best document first, and judgements."""
    run, qrels = folder / "run.txt", folder / "qrels.txt"
    with run.open("w") as run_file, qrels.open("w") as qrels_file:
        for place, (scores, grades, numbers) in enumerate(zip(*data, strict=True)):
            order = (-scores).argsort()
            rows = zip(numbers[order].tolist(), scores[order].tolist(), strict=True)
            run_file.writelines(
                f"q{place} Q0 D{number:07d} {rank} {score:.6f} random\n" for rank, (number, score) in enumerate(rows, 1)
            )
            pairs = zip(numbers.tolist(), grades.tolist(), strict=True)
            qrels_file.writelines(f"q{place} 0 D{number:07d} {grade}\n" for number, grade in pairs if grade >= 0)
    return run, qrels


def definition(data: Lists, k: int = 10) -> dict[str, np.ndarray]:
    """The metrics of every query by their formulas, in float64."""
    order = (-data.scores).argsort(axis=1, kind="stable")
    grades = np.take_along_axis(data.grades, order, axis=1).clip(min=0).astype(np.float64)
    relevant = grades >= 1
    ranks = np.arange(1, grades.shape[1] + 1)
    total = relevant.sum(axis=1)
    discounts = 1 / np.log2(1 + ranks[:k])
    ideal = -np.sort(-grades, axis=1)[:, :k]
    return {
        "nDCG@10": (grades[:, :k] * discounts).sum(axis=1) / (ideal * discounts).sum(axis=1),
        "MAP": (relevant * relevant.cumsum(axis=1) / ranks).sum(axis=1) / total,
        "MRR": (relevant / ranks).max(axis=1),
        "recall@10": relevant[:, :k].sum(axis=1) / total,
    }

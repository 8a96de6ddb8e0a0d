"""Folds of rows of features: from a LETOR folder, or generated with a known utility."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.ltr_generate import generated
from rankgrad._checks import InputError
from rankgrad.data import FeatureBatch, FeatureTable, TableLists, collate_features, read_letor

FOLDS = 5
_WITH_VALIDATION = ("train.txt", "vali.txt", "test.txt")
_WITHOUT = ("rank.train", "rank.test")


@dataclass(frozen=True)
class Fold:
    """What one seed trains on, chooses and stops by, and is measured on.

    ``utility`` is what the labels of the test rows were drawn from, where that is known.
    """

    train: FeatureTable
    validation: FeatureTable
    test: FeatureTable
    utility: Tensor | None = None


def load(folder: str | Path) -> list[Fold]:
    """Five folds of a LETOR folder, all with its test file.

    With ``train.txt``, ``vali.txt`` and ``test.txt`` (MSLR, Yahoo, Istella) they differ by the seed alone. Without a
    validation file, as in LightGBM's example (``rank.train``, ``rank.test`` and their ``.query`` files), the i-th fifth
    of the training queries validates in fold i.

    Raises:
        InputError: for a folder of neither layout.
    """
    folder = Path(folder)
    for names in (_WITH_VALIDATION, _WITHOUT):
        if all((folder / name).is_file() for name in names):
            tables = [_read(folder / name) for name in names]
            break
    else:
        raise InputError(
            f"{folder}: expected {', '.join(_WITH_VALIDATION)}, or {', '.join(_WITHOUT)} with their .query files; "
            "of a collection in folds name one of them, such as Fold1"
        )
    width = max(table.features.shape[1] for table in tables)
    tables = [table._replace(features=pad(table.features, (0, width - table.features.shape[1]))) for table in tables]
    if len(tables) == len(_WITH_VALIDATION):
        return [Fold(*tables)] * FOLDS
    train, test = tables
    return [Fold(*_split(train, held), test) for held in _fifths(len(train.queries))]


def made(*, quick: bool) -> list[Fold]:
    """Five folds of a generated set, all with its last queries as their test."""
    count, tested = (20, 8) if quick else (1200, 800)
    table, utility = generated(count + tested, items=8 if quick else 20)
    train, test = chosen(table, range(count)), chosen(table, range(count, count + tested))
    known = utility[len(train.labels) :]
    return [Fold(*_split(train, held), test, known) for held in _fifths(count)]


def chosen(table: FeatureTable, queries: range | list[int]) -> FeatureTable:
    """Some queries of a table."""
    starts = table.cu_seqlens.tolist()
    rows = torch.cat([torch.arange(starts[query], starts[query + 1]) for query in queries])
    counts = table.cu_seqlens.diff()[torch.tensor(list(queries))]
    return FeatureTable(
        table.features[rows],
        table.labels[rows],
        pad(counts.cumsum(0), (1, 0)),
        tuple(table.queries[query] for query in queries),
    )


def padded(table: FeatureTable) -> FeatureBatch:
    """All lists of a table in one batch."""
    lists = TableLists(table)
    return collate_features([lists[0, place] for place in range(len(lists))])


def sizes(table: FeatureTable) -> np.ndarray:
    """Rows of each query."""
    return table.cu_seqlens.diff().numpy()


def _read(path: Path) -> FeatureTable:
    beside = path.with_name(f"{path.name}.query")
    return read_letor(path, query_sizes=beside if beside.is_file() else None)


def _fifths(count: int) -> list[list[int]]:
    order = np.random.default_rng(0).permutation(count)
    return [sorted(order[place::FOLDS].tolist()) for place in range(FOLDS)]


def _split(table: FeatureTable, held: list[int]) -> tuple[FeatureTable, FeatureTable]:
    rest = sorted(set(range(len(table.queries))) - set(held))
    return chosen(table, rest), chosen(table, held)

"""The columns of a batch: which document stands in which, with which grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.data.records import CandidateList, pad_rows


class Columns(NamedTuple):
    """What a batch holds of its columns beside the features.

    Shape:
        labels: float32 ``[queries, columns]``, 0 where masked.
        mask: bool ``[queries, columns]``, True = a real candidate.
        teacher_scores: float32 ``[queries, columns]``, 0 where masked, or None.
    """

    labels: Tensor
    mask: Tensor
    teacher_scores: Tensor | None


def own_columns(lists: Sequence[CandidateList]) -> Columns:
    """Each list's own documents as its columns.

    Raises:
        InputError: when some lists have teacher scores and some have none.
    """
    labels = torch.from_numpy(pad_rows([one.labels for one in lists]))
    lengths = np.array([len(one.documents) for one in lists])
    mask = torch.from_numpy(np.arange(labels.shape[1])[None, :] < lengths[:, None])
    scores = [one.teacher_scores for one in lists if one.teacher_scores is not None]
    if scores and len(scores) != len(lists):
        raise InputError(f"teacher_scores: {len(scores)} of {len(lists)} lists have them; give them to all or to none")
    return Columns(labels, mask, torch.from_numpy(pad_rows(scores)) if scores else None)


def all_columns(lists: Sequence[CandidateList], row_of: Mapping[str, int]) -> Columns:
    """Every distinct document as a column of every query."""
    labels = np.zeros((len(lists), len(row_of)), dtype=np.float32)
    mask = np.ones(labels.shape, dtype=bool)
    relevant: dict[str, list[int]] = {}
    for one in lists:
        graded = zip(one.documents, one.labels, strict=True)
        relevant.setdefault(one.query, []).extend(row_of[document] for document, label in graded if label > 0)
    for position, one in enumerate(lists):
        columns = [row_of[document] for document in one.documents]
        mask[position, relevant[one.query]] = False
        mask[position, columns] = True
        np.maximum.at(labels[position], columns, np.asarray(one.labels, dtype=np.float32))
    return Columns(torch.from_numpy(labels), torch.from_numpy(mask), None)


def slots_of(rows: Sequence[Sequence[object]], place: Mapping) -> Tensor:
    """The place of each item: int64 ``[rows, longest]``, 0 beyond a row's end.

    Example:
        >>> slots_of(["ab", "b"], {"a": 4, "b": 7}).tolist()
        [[4, 7], [7, 0]]
    """
    slots = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for position, row in enumerate(rows):
        slots[position, : len(row)] = [place[item] for item in row]
    return torch.from_numpy(slots)


def judged_of(lists: Sequence[CandidateList]) -> Tensor | None:
    """The grades of all judged documents, or None where the candidates hold them all."""
    if all(one.judged is None for one in lists):
        return None
    return torch.from_numpy(pad_rows([one.labels if one.judged is None else one.judged for one in lists]))

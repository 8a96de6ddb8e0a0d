"""How good a graph's order is on judged lists, beside torch's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import torch

from rankgrad._checks import InputError, check_texts
from rankgrad.data.records import CandidateList
from rankgrad.metrics import ndcg

Score: TypeAlias = Callable[[str, Sequence[str]], np.ndarray]
"""Scores of a query's documents, higher is better."""

CUT_OFF = 10


class Quality(NamedTuple):
    """The mean nDCG@10, between 0 and 1; the points (hundredths) below torch's; whether the tolerance allows them."""

    ndcg: float
    loss: float
    fit: bool


def mean_ndcg(score: Score, lists: Sequence[CandidateList]) -> float:
    """The mean over the lists of nDCG@10, trec_eval's but for ties, of which the first document comes first.

    Example:
        >>> lists = [CandidateList("a query", ("a", "abc", "ab"), (0.0, 1.0, 0.0))]
        >>> mean_ndcg(lambda query, documents: np.array([len(text) for text in documents], dtype=np.float32), lists)
        1.0
    """
    return float(torch.stack([_ndcg(score, each) for each in lists]).mean())


def compare_quality(score: Score, lists: Sequence[CandidateList], *, torchs: float, tolerance: float) -> Quality:
    """Compare a graph's mean nDCG@10 with torch's.

    Args:
        score: the graph.
        lists: judged lists.
        torchs: torch's mean nDCG@10 on them.
        tolerance: points that may be lost, hundredths of nDCG.
    """
    found = mean_ndcg(score, lists)
    loss = 100 * (torchs - found)
    return Quality(found, loss, fit=loss <= tolerance)


def check_judged(lists: Sequence[CandidateList]) -> None:
    """Refuse lists that say nothing of quality.

    Raises:
        InputError: for no list, an empty text, or no document of a grade above 0.
    """
    check_texts([each.query for each in lists], "query of quality")
    for each in lists:
        check_texts(each.documents, f"document of the query {each.query!r} in quality", allow_blank=True)
    if not any(grade > 0 for each in lists for grade in (*each.labels, *(each.judged or ()))):
        raise InputError("quality: no document has a grade above 0, every order is as good: pass judged lists")


def _ndcg(score: Score, judged: CandidateList) -> torch.Tensor:
    scores = torch.from_numpy(score(judged.query, judged.documents).astype(np.float32))
    grades = torch.tensor(judged.judged) if judged.judged else None
    return ndcg(scores, torch.tensor(judged.labels), k=CUT_OFF, judged=grades)

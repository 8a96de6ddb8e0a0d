from __future__ import annotations

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import Task, Texts
from rankgrad.rerank import CrossEncoderReranker
from rankgrad.training import fit_first_stage_weight
from rankgrad.types import Ranking

DOCUMENTS = Texts(("a", "b", "c"), ("aaa", "bb", "c"))
TASK = Task("t", DOCUMENTS, Texts(("q1", "q2"), ("first", "second")), {"q1": {"a": 1}, "q2": {"b": 1}})


class Shortest:
    """Prefers short documents, whatever the query."""

    def score(self, queries, documents):
        return torch.tensor([-float(len(text)) for text in documents])


def bm25(queries) -> Ranking:
    """Puts the relevant document first, by 4; one place of the second query is empty."""
    ids = torch.tensor([[0, 1, 2], [1, 0, -1]])
    scores = torch.tensor([[6.0, 2.0, 1.0], [6.0, 2.0, -torch.inf]])
    return Ranking(ids, scores, ids >= 0)


def test_the_weight_that_orders_best_is_set() -> None:
    stage = CrossEncoderReranker(Shortest(), DOCUMENTS.texts, k=3)
    # Own scores of q1: a -3, b -2, c -1; a comes first once 6w - 3 > 2w - 2 and 6w - 3 > w - 1, so w > 0.4.
    assert fit_first_stage_weight(stage, bm25, TASK, weights=(0.0, 0.3, 0.41, 2.0)) == 0.41
    assert stage(TASK.queries.texts, bm25(TASK.queries.texts)).ids[:, 0].tolist() == [0, 1]


def test_a_stage_that_needs_no_help_gets_none() -> None:
    class Right:
        def score(self, queries, documents):
            good = {"first": "aaa", "second": "bb"}
            return torch.tensor([float(good[q] == d) for q, d in zip(queries, documents, strict=True)])

    stage = CrossEncoderReranker(Right(), DOCUMENTS.texts, k=3, first_stage_weight=1.0)
    assert fit_first_stage_weight(stage, bm25, TASK) == 0.0


def test_other_documents_or_no_weights() -> None:
    with pytest.raises(InputError, match="other documents"):
        fit_first_stage_weight(CrossEncoderReranker(Shortest(), ["x"], k=1), bm25, TASK)
    with pytest.raises(InputError, match="no weights"):
        fit_first_stage_weight(CrossEncoderReranker(Shortest(), DOCUMENTS.texts), bm25, TASK, weights=())

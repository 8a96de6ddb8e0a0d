"""Stages in a row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import CrossEncoderReranker
from rankgrad.retrieve import BM25
from rankgrad.types import Queries, Ranking

DOCUMENTS = ("a red cat", "a red dog", "a blue cat", "the sea", "a red red cat")


class Length(nn.Module):
    """Prefers long documents, by a learnt factor."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Tensor:
        return self.factor * torch.tensor([float(len(document)) for document in documents])


class Union(nn.Module):
    """All rankings side by side."""

    def forward(self, rankings: Sequence[Ranking]) -> Ranking:
        return Ranking(*(torch.cat(fields, dim=1) for fields in zip(*rankings, strict=True)))


def test_stages_run_in_order() -> None:
    bm25 = BM25(DOCUMENTS)
    length = CrossEncoderReranker(Length(), DOCUMENTS, k=2)

    def cut(queries: Queries, ranking: Ranking) -> Ranking:
        return Ranking(*(field[:, :1] for field in ranking))

    queries = ["red cat", "sea"]
    found = Pipeline(bm25, rerank=[length, cut], k=4)(queries)
    expected = cut(queries, length(queries, bm25(queries, 4)))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_several_retrievers_are_fused_and_cut_to_k() -> None:
    bm25, other = BM25(DOCUMENTS), BM25(DOCUMENTS, k1=0.0)
    ranking = Pipeline([bm25, other], fuse=Union(), k=3)(["red cat"])
    expected = Union()([bm25(["red cat"], 3), other(["red cat"], 3)])
    assert torch.equal(ranking.ids, expected.ids[:, :3])


def test_stages_are_registered_and_carry_gradients() -> None:
    scorer = Length()
    pipeline = Pipeline(BM25(DOCUMENTS), rerank=[CrossEncoderReranker(scorer, DOCUMENTS)], k=3)
    assert [parameter is scorer.factor for parameter in pipeline.parameters()] == [True]
    assert any(name.endswith("weights") for name in pipeline.state_dict())
    pipeline.eval()
    assert not pipeline(["red cat"]).scores.requires_grad
    pipeline.train()
    ranking = pipeline(["red cat"])
    ranking.scores[ranking.mask].sum().backward()
    lengths = [float(len(DOCUMENTS[row])) for row in ranking.ids[ranking.mask].tolist()]
    assert scorer.factor.grad is not None
    assert scorer.factor.grad.item() == sum(lengths)


def test_stages_are_added_and_rankings_cut() -> None:
    bm25, length = BM25(DOCUMENTS), CrossEncoderReranker(Length(), DOCUMENTS)
    first = Pipeline(bm25, k=4)
    whole = first[:2] >> length
    expected = length(["red cat"], Ranking(*(field[:, :2] for field in bm25(["red cat"], 4))))
    assert torch.equal(whole(["red cat"]).ids, expected.ids)
    assert whole.retrievers[0] is bm25
    assert whole.rerank[-1] is length
    assert len(first.rerank) == 0, "the pipeline that it was made of stays as it was"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda bm25: Pipeline([]), "no retriever given"),
        (lambda bm25: Pipeline([bm25, bm25]), "2 retrievers give 2 rankings: pass fuse="),
        (lambda bm25: Pipeline(bm25, k=0), "k=0 retrieves nothing"),
        (
            lambda bm25: Pipeline(bm25)(["cat"]),
            "k=100 must lie between 1 and the size of the collection: pass 5 at most",
        ),
        (lambda bm25: Pipeline(bm25, k=1)([""]), "query 0 .* is empty"),
        (lambda bm25: Pipeline(bm25)[1:3], "a pipeline is cut by"),
        (lambda bm25: Pipeline(bm25)[:0], "k=0 keeps nothing"),
    ],
)
def test_bad_input(call: Callable[[Any], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(BM25(DOCUMENTS))

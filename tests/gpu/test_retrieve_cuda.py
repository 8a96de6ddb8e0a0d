"""Retrievers and diversity on a GPU give what they give on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from rankgrad.rerank import DPP, MMR
from rankgrad.retrieve import (
    BM25,
    RM3,
    TFIDF,
    Bo1,
    DenseRetriever,
    Filtered,
    LearnableBM25,
    QueryLikelihood,
    SparseRetriever,
)
from rankgrad.types import Ranking

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

TEXTS = [" ".join(f"w{(n * m) % 17}" for m in range(1, 9)) for n in range(1, 60)]
QUERIES = ["w1 w5", "w2 w2 w9", "unheard"]


class _Fixed:
    """Embeddings of small whole numbers by a text's length; products are exact."""

    def encode_queries(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text) % 7), 1.0, -2.0] for text in texts])

    encode_documents = encode_queries


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "bm25": lambda: BM25(TEXTS),
    "tfidf": lambda: TFIDF(TEXTS),
    "likelihood": lambda: QueryLikelihood(TEXTS),
    "rm3": lambda: RM3(BM25(TEXTS), TEXTS),
    "bo1": lambda: Bo1(BM25(TEXTS), TEXTS),
    "filtered": lambda: Filtered(BM25(TEXTS), torch.arange(len(TEXTS)) % 3 == 0),
    "dense": lambda: DenseRetriever(_Fixed(), TEXTS).index(),
}


def same(found: Ranking, expected: Ranking) -> None:
    assert found.ids.is_cuda
    torch.testing.assert_close(found.scores.cpu(), expected.scores, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.mask.cpu(), expected.mask)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_retriever(maker: str) -> None:
    expected = MAKERS[maker]()(QUERIES, 9)
    found = MAKERS[maker]().cuda()(QUERIES, 9)
    same(found, expected)
    if maker == "dense":
        assert torch.equal(found.ids.cpu(), expected.ids)


def test_sparse_vectors() -> None:
    table = torch.randint(0, 3, (40, 12), generator=torch.Generator().manual_seed(0)).float()
    retriever = SparseRetriever(vectors=table)
    expected = retriever.rank_vectors(table[:3], 7)
    found = retriever.cuda().rank_vectors(table[:3].cuda(), 7)
    same(found, expected)
    assert torch.equal(found.ids.cpu(), expected.ids)


@pytest.mark.parametrize("kind", [MMR, DPP, LearnableBM25])
def test_a_later_stage(kind: type[nn.Module]) -> None:
    ranking = BM25(TEXTS)(QUERIES, 20)
    table = torch.randn(len(TEXTS), 8, generator=torch.Generator().manual_seed(0))
    stage = LearnableBM25(TEXTS) if kind is LearnableBM25 else kind(table)
    expected = stage(QUERIES, ranking)
    found = stage.cuda()(QUERIES, Ranking(*(field.cuda() for field in ranking)))
    same(found, expected)

"""Retrievers and later stages on a GPU give what they give on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rankgrad.modules import Muvera
from rankgrad.rerank import DPP, MMR, LateInteractionReranker, MatryoshkaTailReranker
from rankgrad.retrieve import (
    BM25,
    RM3,
    TFIDF,
    Bo1,
    DenseRetriever,
    Filtered,
    LateInteractionRetriever,
    LearnableBM25,
    QueryLikelihood,
    SparseRetriever,
)
from rankgrad.types import PackedTokens, Ranking

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: bash benchmarks/gpu.sh")

TEXTS = [" ".join(f"w{(n * m) % 17}" for m in range(1, 9)) for n in range(1, 60)]
QUERIES = ["w1 w5", "w2 w2 w9", "unheard"]


class _Fixed:
    """Embeddings of small whole numbers by a text's length; products are exact."""

    def encode_queries(self, texts: list[str]) -> torch.Tensor:
        return torch.tensor([[float(len(text) % 7), 1.0, -2.0] for text in texts])

    encode_documents = encode_queries


class _Words(nn.Module):
    """A token a word; embeddings of quarters, so that products are exact and float16 holds them."""

    def __init__(self) -> None:
        super().__init__()
        table = torch.randint(-4, 5, (32, 16), generator=torch.Generator().manual_seed(0)) / 4
        self.table = nn.Parameter(table)
        self.eval()

    def rows(self, text: str) -> list[int]:
        return [int("".join(filter(str.isdigit, word)) or 31) for word in text.split()]

    def encode_queries(self, texts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        rows = nn.utils.rnn.pad_sequence([torch.tensor(self.rows(text)) for text in texts], True, -1)
        return self.table[rows.clamp(min=0).to(self.table.device)], (rows >= 0).to(self.table.device)

    def encode_documents(self, texts: Any) -> PackedTokens:
        rows = [self.rows(text) for text in texts]
        lengths = torch.tensor([0, *map(len, rows)], device=self.table.device)
        return PackedTokens(self.table[[each for row in rows for each in row]], lengths.cumsum(0).int())


def _muvera() -> Muvera:
    return Muvera(16, repetitions=4, partition_bits=2, projection_dim=8)


MAKERS: dict[str, Callable[[], nn.Module]] = {
    "bm25": lambda: BM25(TEXTS),
    "tfidf": lambda: TFIDF(TEXTS),
    "likelihood": lambda: QueryLikelihood(TEXTS),
    "rm3": lambda: RM3(BM25(TEXTS), TEXTS),
    "bo1": lambda: Bo1(BM25(TEXTS), TEXTS),
    "filtered": lambda: Filtered(BM25(TEXTS), torch.arange(len(TEXTS)) % 3 == 0),
    "dense": lambda: DenseRetriever(_Fixed(), TEXTS).index(),
}


def same(found: Ranking, expected: Ranking, tolerance: float = 1e-5) -> None:
    assert found.ids.is_cuda
    torch.testing.assert_close(found.scores.cpu(), expected.scores, rtol=tolerance, atol=tolerance / 10)
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


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"codec": "int8"},
        {"muvera": True},
        {"muvera": True, "codec": "residual2"},
        {"muvera": True, "factory": "Flat"},
    ],
)
def test_late_interaction(options: dict[str, Any]) -> None:
    """The encoder alone is on the GPU: MUVERA, made on the CPU, goes there with the first tokens."""
    if "factory" in options:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")

    def made(encoder: nn.Module) -> LateInteractionRetriever:
        parts = options | ({"muvera": _muvera()} if "muvera" in options else {})
        return LateInteractionRetriever(encoder, TEXTS, candidates=30, **parts)  # type: ignore[arg-type]

    here, there = made(_Words()), made(_Words().cuda())
    tolerance = 1e-5
    if "codec" in options:
        # What is fitted on each device differs, so both read one index. A CPU rounds queries to 15 bits for it.
        tolerance = 1e-3
        there.load_state_dict(here.index().state_dict())
        there.cuda()
    allowed = torch.arange(len(TEXTS)) % 3 > 0
    same(there(QUERIES, 9), here(QUERIES, 9), tolerance)
    same(there.rank_allowed(QUERIES, 9, allowed), here.rank_allowed(QUERIES, 9, allowed), tolerance)
    for one in (here, there):
        one.delete([0, 7])
        one.add(["w1 w5 w9", "w2"])
    same(there(QUERIES, 9), here(QUERIES, 9), tolerance)
    for one in (here, there):
        one.encoder.train()  # type: ignore[attr-defined]
    same(there(QUERIES, 9), here(QUERIES, 9), tolerance)


def test_tokens_of_a_gpu_are_added_to_an_index_on_the_cpu() -> None:
    here = LateInteractionRetriever(_Words(), TEXTS, muvera=_muvera()).index()
    expected = here(QUERIES, 9)
    there = LateInteractionRetriever(_Words(), TEXTS[:50], muvera=_muvera()).index()
    there.encoder = _Words().cuda()
    there.add(TEXTS[50:])
    torch.testing.assert_close(there(QUERIES, 9).scores.cpu(), expected.scores)


@pytest.mark.parametrize("narrow", [False, True])
def test_late_interaction_reranks(narrow: bool) -> None:
    ranking = BM25(TEXTS)(QUERIES, 20)

    def made(encoder: nn.Module) -> nn.Module:
        stage = LateInteractionReranker(encoder, TEXTS, k=10, first_stage_weight=0.5)  # type: ignore[arg-type]
        return MatryoshkaTailReranker(stage, width=8, refine=4) if narrow else stage

    expected = made(_Words())(QUERIES, ranking)
    on_gpu = Ranking(*(field.cuda() for field in ranking))
    same(made(_Words().cuda())(QUERIES, on_gpu), expected)
    # The ranking may come from the CPU too, and goes back there.
    found = made(_Words().cuda())(QUERIES, ranking)
    torch.testing.assert_close(found.scores, expected.scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_in_float32(dtype: torch.dtype) -> None:
    table = torch.randint(246, 256, (70, 8), generator=torch.Generator().manual_seed(0)).float()
    retriever = DenseRetriever(None, embeddings=table[:60].to(dtype))  # type: ignore[arg-type]
    expected = retriever.rank_vectors(table[60:], 60)
    found = retriever.cuda().rank_vectors(table[60:].cuda(), 60)
    assert torch.equal(found.scores.cpu(), expected.scores)
    assert torch.equal(found.ids.cpu(), expected.ids)


@pytest.mark.parametrize("kind", [MMR, DPP, LearnableBM25])
def test_a_later_stage(kind: type[nn.Module]) -> None:
    ranking = BM25(TEXTS)(QUERIES, 20)
    table = torch.randn(len(TEXTS), 8, generator=torch.Generator().manual_seed(0))
    stage = LearnableBM25(TEXTS) if kind is LearnableBM25 else kind(table)
    expected = stage(QUERIES, ranking)
    found = stage.cuda()(QUERIES, Ranking(*(field.cuda() for field in ranking)))
    same(found, expected)

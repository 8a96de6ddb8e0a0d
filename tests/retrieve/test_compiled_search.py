"""The compiled search against adding up columns: the same rankings to the last bit."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch

from rankgrad.retrieve import BM25, TFIDF, Analyzer, SparseRetriever, WeightedTerms, _compiled
from rankgrad.retrieve._compiled import compiled_search
from rankgrad.retrieve._inverted import search
from rankgrad.types import Ranking

pytest.importorskip("numba", reason="the compiled search")

PLAIN = Analyzer(stop_words=(), stemmer=None)


@pytest.fixture(autouse=True)
def _always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compiled, "_ENTRIES", 0)


def texts(documents: int, words: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    chance = 1 / np.arange(2, words + 2)
    drawn = [generator.choice(words, size, p=chance / chance.sum()) for size in generator.integers(1, 40, documents)]
    # Repeated documents have equal scores.
    return [" ".join(f"w{word}" for word in text) for text in drawn] + [" ".join(f"w{word}" for word in drawn[0])] * 5


def plain(index: BM25 | TFIDF | SparseRetriever, terms: WeightedTerms, k: int, allowed: torch.Tensor | None) -> Ranking:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rankgrad.retrieve._inverted.compiled_search", lambda *_: None)
        return search(index, terms, k, allowed=allowed)


def same(
    index: BM25 | TFIDF | SparseRetriever, terms: WeightedTerms, k: int, allowed: torch.Tensor | None = None
) -> bool:
    found = compiled_search(index, terms, k, allowed)
    assert found is not None
    wanted = plain(index, terms, k, allowed)
    assert [field.dtype for field in found] == [field.dtype for field in wanted]
    return all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.fixture(scope="module")
def bm25() -> BM25:
    return BM25(texts(900, 400, 0), analyzer=PLAIN)


def asked(index: BM25, queries: int, terms: int, seed: int, *, weigh: bool) -> WeightedTerms:
    """Queries of common and rare terms; the third has none."""
    generator = np.random.default_rng(seed)
    rows = [generator.choice(len(index.vocabulary), terms, replace=False) for _ in range(queries)]
    rows[2] = rows[2][:0]
    owners = np.repeat(np.arange(queries), [len(row) for row in rows])
    positions = np.concatenate([np.sort(row) for row in rows])
    weights = generator.choice([0.0, 0.37, 1.0, 3.0], len(owners)) if weigh else np.ones(len(owners))
    return WeightedTerms(owners, positions, weights, queries)


@pytest.mark.parametrize("k", [1, 7, 100, 905])
@pytest.mark.parametrize(("terms", "weigh"), [(1, False), (2, True), (5, False), (12, True)])
def test_rankings_are_the_same_to_the_last_bit(bm25: BM25, k: int, terms: int, weigh: bool) -> None:
    assert same(bm25, asked(bm25, 60, terms, k, weigh=weigh), k)


@pytest.mark.parametrize("shape", [(905,), (40, 905)])
@pytest.mark.parametrize("share", [0.02, 0.5])
def test_only_allowed_documents(bm25: BM25, shape: tuple[int, ...], share: float) -> None:
    allowed = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < share
    assert same(bm25, asked(bm25, 40, 4, 1, weigh=False), 9, allowed.expand(40, 905))


def test_threads_share_the_queries(bm25: BM25, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert same(bm25, asked(bm25, 211, 5, 3, weigh=True), 10)


@pytest.mark.parametrize("method", ["robertson", "atire", "bm25l", "bm25+"])
def test_other_formulas(method: str) -> None:
    # A word of every document weighs nothing in two of them.
    index = BM25([f"all {text}" for text in texts(80, 30, 1)], method=method, analyzer=PLAIN)  # type: ignore[arg-type]
    assert same(index, index.weigh(["all w1 w3", "all", "w2 w2 w9 w28"]), 20)


def test_sparse_vectors_and_what_the_loop_cannot_do() -> None:
    vectors = torch.rand(50, 20, generator=torch.Generator().manual_seed(0)).mul(3).sub(2).relu()
    index = SparseRetriever(vectors=vectors)
    queries = WeightedTerms(np.zeros(3, dtype=np.int64), np.array([2, 5, 9]), np.array([0.5, 1.5, 0.1]), 1)
    assert same(index, queries, 10)
    assert compiled_search(index, queries._replace(weights=np.array([1.0, -1.0, 1.0])), 10, None) is None
    assert compiled_search(SparseRetriever(vectors=vectors - 0.5), queries, 10, None) is None


def test_an_index_that_changes_is_looked_at_again(bm25: BM25) -> None:
    other, terms = copy.deepcopy(bm25), asked(bm25, 30, 5, 5, weigh=False)
    assert same(other, terms, 5)
    other.weights.copy_(other.weights.flip(0))
    assert same(other, terms, 5)
    other.rows[3] = 905
    assert compiled_search(other, terms, 5, None) is None


def test_a_small_index_is_no_reason_to_load_numba(bm25: BM25, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert compiled_search(bm25, asked(bm25, 3, 5, 5, weigh=False), 5, None) is None

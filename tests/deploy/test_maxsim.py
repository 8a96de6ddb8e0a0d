"""MaxSim in numpy is its definition, whatever the documents' lengths."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankgrad.deploy import PackedTokens, maxsim
from rankgrad.deploy.maxsim import TOKENS_A_CHUNK


def packed(lengths: list[int], dim: int = 4, seed: int = 0) -> PackedTokens:
    generator = np.random.default_rng(seed)
    cu_seqlens = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return PackedTokens(generator.normal(size=(cu_seqlens[-1], dim)).astype(np.float32), cu_seqlens)


def definition(query: np.ndarray, documents: PackedTokens) -> list[float]:
    """The sum over query tokens of the largest inner product, one document at a time."""
    borders = documents.cu_seqlens
    parts = [documents.embeddings[first:last] for first, last in pairwise(borders)]
    return [float((part @ query.T).max(axis=0).sum()) if len(part) else -np.inf for part in parts]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 99))
def test_it_is_the_definition(lengths: list[int], query_tokens: int, seed: int) -> None:
    query = np.random.default_rng(seed + 1).normal(size=(query_tokens, 4)).astype(np.float32)
    documents = packed(lengths, seed=seed)
    assert maxsim(query, documents) == pytest.approx(definition(query, documents), abs=1e-5)


@pytest.mark.parametrize("lengths", [[TOKENS_A_CHUNK + 3, 5], [TOKENS_A_CHUNK, 0, 7], [3] * 6000, [0, 0, 2, 0]])
def test_chunks_change_nothing(lengths: list[int]) -> None:
    documents = packed(lengths)
    query = np.random.default_rng(9).normal(size=(3, 4)).astype(np.float32)
    assert maxsim(query, documents) == pytest.approx(definition(query, documents), abs=1e-5)


def test_masked_query_tokens_do_not_count() -> None:
    documents = packed([2, 3, 0])
    query = np.random.default_rng(9).normal(size=(3, 4)).astype(np.float32)
    mask = np.array([True, False, True])
    assert maxsim(query, documents, mask).tolist() == maxsim(query[mask], documents).tolist()
    assert maxsim(query, documents, ~np.ones(3, bool)).tolist() == [0.0, 0.0, -np.inf]


def test_a_negative_similarity_stays_negative() -> None:
    documents = PackedTokens(np.array([[-1.0, 0.0], [-2.0, 0.0]], np.float32), np.array([0, 2], np.int32))
    assert maxsim(np.array([[1.0, 0.0]], np.float32), documents).tolist() == [-1.0]

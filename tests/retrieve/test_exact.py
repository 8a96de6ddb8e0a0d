"""Exact search of embeddings in half precision: products in float32, block by block."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rankgrad.retrieve import DenseRetriever


def whole(documents: int, queries: int, most: int) -> tuple[Tensor, Tensor]:
    """Vectors of whole numbers whose products float32 holds exactly, half precision neither holds nor keeps apart."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(most - 9, most + 1, (documents + queries, 8), generator=generator).float()
    return table[:documents], table[documents:]


def retriever(embeddings: Tensor) -> DenseRetriever:
    return DenseRetriever(None, embeddings=embeddings)  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_in_float32(
    dtype: torch.dtype, asked: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products of about 250^2 * 8 are beyond float16, and bfloat16 would round them to multiples of 2048."""
    monkeypatch.setattr("rankgrad.retrieve._exact._QUERIES", 3)
    monkeypatch.setattr("rankgrad.retrieve._exact._BLOCK_ELEMENTS", 33)
    documents, queries = whole(60, 5, 255)
    table = documents @ queries.T
    assert table.min() > torch.finfo(torch.float16).max
    assert len(table.unique()) > 100 > len(table.bfloat16().unique())
    scores, ids = table.T.sort(dim=1, descending=True, stable=True)
    for k in (7, 60):
        ranking = retriever(documents.to(dtype)).rank_vectors(queries.to(asked), k)
        assert torch.equal(ranking.ids, ids[:, :k])
        assert torch.equal(ranking.scores, scores[:, :k])


def test_autocast_does_not_round_scores() -> None:
    documents, queries = whole(40, 3, 255)
    expected = retriever(documents).rank_vectors(queries, 40)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = retriever(documents).rank_vectors(queries, 40)
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.ids, expected.ids)


def test_queries_are_not_cut_to_the_type_of_whole_numbers() -> None:
    ranking = retriever(torch.tensor([[1, 0], [0, 1]])).rank_vectors(torch.tensor([[0.25, 0.75]]), 2)
    assert (ranking.ids.tolist(), ranking.scores.tolist()) == ([[1, 0]], [[0.75, 0.25]])

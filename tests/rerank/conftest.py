"""Rankings and encoders that need no model."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from rankgrad.types import PackedTokens, Ranking

DOCUMENTS = ("aab", "abc", "", "cccc", "bd", "dddda")


class LetterEncoder(nn.Module):
    """A token a letter, one learnt vector each; counts what it encodes."""

    def __init__(self, dim: int = 4) -> None:
        super().__init__()
        self.table = nn.Embedding(26, dim)
        self.dropout = nn.Dropout(0.5)
        self.encoded: list[str] = []

    def encode_queries(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        width = max(map(len, texts))
        ids = torch.tensor([[ord(c) - 97 for c in text.ljust(width, "a")] for text in texts])
        mask = torch.tensor([[place < len(text) for place in range(width)] for text in texts])
        return self.dropout(self.table(ids)), mask

    def encode_documents(self, texts: list[str]) -> PackedTokens:
        self.encoded.extend(texts)
        ids = torch.tensor([ord(c) - 97 for text in texts for c in text], dtype=torch.int64)
        lengths = torch.tensor([0, *(len(text) for text in texts)])
        return PackedTokens(self.dropout(self.table(ids)), lengths.cumsum(0).to(torch.int32))


class LetterScorer(nn.Module):
    """A learnt number a letter, summed over the letters that query and document share; keeps what it scored."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(26))
        self.batches: list[list[tuple[str, str]]] = []

    def score(self, queries: tuple[str, ...], documents: tuple[str, ...]) -> Tensor:
        pairs = list(zip(queries, documents, strict=True))
        self.batches.append(pairs)
        return torch.stack([self.weight[[ord(c) - 97 for c in set(q) & set(d)]].sum() for q, d in pairs])


@pytest.fixture
def encoder() -> LetterEncoder:
    return LetterEncoder().eval()


@pytest.fixture
def scorer() -> LetterScorer:
    return LetterScorer().eval()


@pytest.fixture
def documents() -> tuple[str, ...]:
    return DOCUMENTS


@pytest.fixture
def incoming() -> Ranking:
    """Two queries, five places; the second query has two documents only."""
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    ids = torch.tensor([[5, 0, 3, 1, 4], [1, 4, -1, -1, -1]])
    scores = torch.tensor([[9.0, 8.0, 7.0, 6.0, 5.0], [4.0, 3.0, 0.0, 0.0, 0.0]]).masked_fill(~mask, -torch.inf)
    return Ranking(ids, scores, mask)

"""XTR's scores against the definition, token by token, and against another library."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.modules import xtr_scores
from rankgrad.ops import maxsim

SHAPES = {"queries": (3, 4, 8), "documents": (5, 6, 8)}


@pytest.fixture
def operands() -> tuple[torch.Tensor, ...]:
    queries, documents = (normalize(torch.randn(shape), dim=-1) for shape in SHAPES.values())
    query_mask = torch.arange(4) < torch.tensor([[4], [2], [0]])
    document_mask = torch.arange(6) < torch.tensor([[6], [3], [1], [5], [0]])
    return queries, documents, query_mask, document_mask


def by_definition(queries, documents, query_mask, document_mask, top_k: int, impute: bool) -> torch.Tensor:
    scores = torch.zeros(len(queries), len(documents))
    for q, query in enumerate(queries):
        sums, counts = [0.0] * len(documents), [0] * len(documents)
        for i, token in enumerate(query):
            if not query_mask[q, i]:
                continue
            real = [(d, j) for d in range(len(documents)) for j in range(6) if document_mask[d, j]]
            found = sorted(((float(token @ documents[d, j]), d) for d, j in real), reverse=True)[:top_k]
            for d in range(len(documents)):
                mine = [similarity for similarity, owner in found if owner == d]
                if mine or impute:
                    sums[d] += max(mine) if mine else found[-1][0]
                    counts[d] += 1
        scores[q] = torch.tensor([s / max(c, 1) for s, c in zip(sums, counts, strict=True)])
        if query_mask[q].any():
            scores[q, ~document_mask.any(1)] = -torch.inf
    return scores


@pytest.mark.parametrize("top_k", [1, 4, 15, 100])
@pytest.mark.parametrize("impute", [False, True])
def test_definition(operands: tuple[torch.Tensor, ...], top_k: int, impute: bool) -> None:
    scores = xtr_scores(*operands, top_k=top_k, impute=impute)
    torch.testing.assert_close(scores, by_definition(*operands, top_k=top_k, impute=impute))


@pytest.mark.parametrize("top_k", [2, 7])
def test_scores_are_those_of_sentence_transformers(operands: tuple[torch.Tensor, ...], top_k: int) -> None:
    scoring = pytest.importorskip("sentence_transformers.multi_vector_encoder.scoring", reason="needs the bench extra")
    queries, documents, query_mask, document_mask = operands
    documents, document_mask = documents[:4], document_mask[:4]  # theirs gives one without a real token -1e9
    theirs = scoring.xtr_scores(queries, documents[:, None], query_mask, document_mask[:, None], top_k=top_k)
    ours = xtr_scores(queries, documents, query_mask, document_mask, top_k=top_k)
    torch.testing.assert_close(ours, theirs)


def test_with_every_token_retrieved_it_is_mean_maxsim(operands: tuple[torch.Tensor, ...]) -> None:
    queries, documents, query_mask, _ = operands
    wanted = maxsim(queries, documents, query_mask, reduction="mean")
    torch.testing.assert_close(xtr_scores(queries, documents, query_mask, top_k=30), wanted)


def test_gradients(operands: tuple[torch.Tensor, ...]) -> None:
    queries, documents = (each.double().requires_grad_() for each in operands[:2])

    def score(queries: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        return xtr_scores(queries, documents, *operands[2:], top_k=5)[:, :4]

    score(queries, documents).square().sum().backward()
    assert documents.grad is not None
    assert documents.grad[~operands[3]].abs().sum() == 0
    step = 1e-3 * torch.randn_like(documents)
    with torch.no_grad():
        ahead, behind = (score(queries, documents + sign * step).square().sum() for sign in (1, -1))
    torch.testing.assert_close(((ahead - behind) / 2).double(), (documents.grad * step).sum(), rtol=2e-2, atol=1e-5)


def test_at_least_one_token_is_retrieved() -> None:
    with pytest.raises(InputError, match="top_k=0"):
        xtr_scores(torch.ones(1, 1, 1), torch.ones(1, 1, 1), top_k=0)

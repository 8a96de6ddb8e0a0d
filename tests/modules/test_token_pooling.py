"""Token pooling and learned pruning."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from rankgrad._checks import InputError
from rankgrad.modules import TokenPruner, keep_penalty, pool_tokens
from rankgrad.types import PackedTokens


def packed(*lengths: int) -> PackedTokens:
    offsets = torch.tensor([0, *lengths]).cumsum(0).int()
    return PackedTokens(normalize(torch.randn(sum(lengths), 8), dim=-1), offsets)


@pytest.mark.parametrize("factor", [2, 3, 50])
@pytest.mark.parametrize("protected", [0, 1])
def test_hierarchical_is_that_of_sentence_transformers(factor: int, protected: int) -> None:
    pooling = pytest.importorskip(
        "sentence_transformers.multi_vector_encoder.modules.token_pooling", reason="needs the bench extra"
    )
    tokens = packed(9, 1, 0, 14)
    theirs = pooling.HierarchicalTokenPooling(factor, num_protected_tokens=protected)
    ours = pool_tokens(tokens, factor=factor, protected=protected)
    documents = ours.embeddings.split(ours.cu_seqlens.diff().tolist())
    for our, document in zip(documents, tokens.embeddings.split(tokens.cu_seqlens.diff().tolist()), strict=True):
        if len(document):  # theirs makes a vector of no tokens
            torch.testing.assert_close(our, theirs.pool_one(document))
    shorter = pool_tokens(tokens, factor=factor, protected=protected, renormalise=False).embeddings
    torch.testing.assert_close(normalize(shorter, dim=-1), ours.embeddings)


def test_clusters_of_equal_tokens_are_found_and_the_first_is_protected() -> None:
    kinds = torch.eye(8)[:3]
    tokens = torch.cat([kinds[:1], kinds[[0, 1, 2, 2, 1, 0]]])
    pooled = pool_tokens(PackedTokens(tokens, torch.tensor([0, 7]).int()), factor=2)
    assert pooled.embeddings[0].tolist() == kinds[0].tolist()
    assert sorted(row.argmax().item() for row in pooled.embeddings[1:]) == [0, 1, 2]


def test_sequential_means() -> None:
    tokens = packed(8, 2)
    pooled = pool_tokens(tokens, factor=3, method="sequential", protected=1, renormalise=False)
    first = tokens.embeddings[:8]
    wanted = [first[0], first[1:4].mean(0), first[4:8].mean(0), *tokens.embeddings[8:]]
    torch.testing.assert_close(pooled.embeddings, torch.stack(wanted))
    assert pooled.cu_seqlens.tolist() == [0, 3, 5]
    assert pooled.cu_seqlens.dtype == torch.int32


def test_a_factor_of_one_changes_nothing_and_nothing_is_no_error() -> None:
    tokens = packed(3)
    assert pool_tokens(tokens, factor=1) is tokens
    empty = PackedTokens(torch.zeros(0, 8), torch.zeros(1).int())
    assert pool_tokens(empty, factor=2).cu_seqlens.tolist() == [0]


@pytest.mark.parametrize("options", [{"factor": 0}, {"factor": 2, "protected": -1}, {"factor": 2, "method": "mean"}])
def test_pooling_that_cannot_be(options: dict) -> None:
    with pytest.raises(InputError):
        pool_tokens(packed(3), **options)


def test_the_share_with_the_highest_logits_is_kept() -> None:
    pruner = TokenPruner(4, share=0.3)
    embeddings = torch.randn(3, 10, 4)
    mask = torch.arange(10) < torch.tensor([[10], [4], [0]])
    kept = pruner.kept(embeddings, mask)
    assert kept.sum(1).tolist() == [3, 2, 0]  # the ceiling of 0.3 times 10, 4, 0
    logits = pruner(embeddings)
    assert logits[0][kept[0]].min() > logits[0][mask[0] & ~kept[0]].max()
    assert logits[1][kept[1]].min() > logits[1][mask[1] & ~kept[1]].max()


def test_similarities_are_lowered_by_the_cost_of_dropping() -> None:
    pruner = TokenPruner(4, share=0.5)
    queries, documents, logits = torch.randn(2, 3, 4), torch.randn(5, 6, 4), torch.randn(5, 6)
    left, right = pruner.lower(queries, documents, logits)
    wanted = torch.einsum("qid,njd->qinj", queries, documents) + logits.sigmoid().log()
    torch.testing.assert_close(torch.einsum("qid,njd->qinj", left, right), wanted)


def test_keep_penalty_counts_real_tokens_only() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, 90.0]])
    mask = torch.tensor([[True, True], [True, False]])
    assert keep_penalty(logits, mask, share=0.3).item() == pytest.approx(0.04)
    nothing = keep_penalty(logits.requires_grad_(), torch.zeros_like(mask), share=0.3)
    nothing.backward()
    assert nothing.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_shares_that_cannot_be(share: float) -> None:
    with pytest.raises(InputError, match="share="):
        TokenPruner(4, share=share)

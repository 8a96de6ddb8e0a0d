"""Late-interaction retrieval against a plain double loop: codecs, candidates, gradients, additions and deletions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.modules import Muvera
from rankgrad.pipeline import Pipeline
from rankgrad.retrieve import Filtered, LateInteractionRetriever
from rankgrad.retrieve._token_store import CODECS
from rankgrad.types import PackedTokens, Ranking

TEXTS = ["ab", "bb", "ca", "abc", "b", "", "ddd", "aabe", "fgh", "hgf"]


class Letters(nn.Module):
    """A learnt vector a letter, of length 1; every letter is a token."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(26, 16, generator=torch.Generator().manual_seed(0)))
        self.encoded = 0

    def encode_queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        width = max(map(len, texts))
        mask = torch.tensor([[place < len(text) for place in range(width)] for text in texts])
        return self.vectors([text.ljust(width, "z") for text in texts]), mask

    def encode_documents(self, texts: Sequence[str]) -> PackedTokens:
        self.encoded += len(texts)
        rows = self.vectors(["".join(texts)])[0]
        return PackedTokens(rows, torch.tensor([0, *map(len, texts)]).cumsum(0).int())

    def vectors(self, texts: Sequence[str]) -> Tensor:
        rows = torch.tensor([[ord(letter) - 97 for letter in text] for text in texts], dtype=torch.long)
        return nn.functional.normalize(self.table, dim=1)[rows]


@pytest.fixture
def encoder() -> Letters:
    return Letters().eval()


def some(documents: int = 60, seed: int = 0) -> PackedTokens:
    """Random documents of 0 to 9 tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 10, (documents,), generator=generator)
    tokens = torch.randn(int(lengths.sum()), 16, generator=generator)
    return PackedTokens(nn.functional.normalize(tokens, dim=1), nn.functional.pad(lengths.cumsum(0), (1, 0)).int())


def asked() -> tuple[Tensor, Tensor]:
    return torch.randn(3, 4, 16, generator=torch.Generator().manual_seed(9)), torch.tensor(
        [[True] * 4] * 2 + [[True] + [False] * 3]
    )


def by_definition(queries: Tensor, mask: Tensor, documents: PackedTokens) -> Tensor:
    """MaxSim in two loops, -inf for a document without a token."""
    scores = torch.full((len(queries), len(documents.cu_seqlens) - 1), -torch.inf)
    for row, (query, real) in enumerate(zip(queries, mask, strict=True)):
        for column, tokens in enumerate(documents.embeddings.split(documents.cu_seqlens.diff().tolist())):
            if len(tokens):
                scores[row, column] = sum((tokens @ vector).max() for vector in query[real])
    return scores


def expect(ranking: Ranking, scores: Tensor, k: int, *, atol: float = 1e-4) -> None:
    """A ranking is the k highest of a table of scores."""
    values, ids = scores.sort(dim=1, descending=True, stable=True)
    torch.testing.assert_close(ranking.scores, values[:, :k], atol=atol, rtol=0)
    assert torch.equal(ranking.ids.masked_fill(~ranking.mask, -1), ids[:, :k].masked_fill(values[:, :k].isinf(), -1))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("k", [5, 60])
def test_every_codec_ranks_by_maxsim_with_what_it_keeps(
    codec: Any, k: int, encoder: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rankgrad.retrieve._exact._QUERIES", 2)
    monkeypatch.setattr("rankgrad.retrieve._exact._BLOCK_ELEMENTS", 14)
    documents = some()
    retriever = LateInteractionRetriever(encoder, embeddings=documents, codec=codec)
    kept = retriever.collection.tokens.decoded(torch.arange(60))
    if codec in ("fp16", "int8"):
        torch.testing.assert_close(kept.embeddings, documents.embeddings, atol=5e-3, rtol=0)
    expect(retriever.rank_vectors(*asked(), k), by_definition(*asked(), kept), k, atol=2e-3)


def test_bytes_of_codecs(encoder: Letters) -> None:
    """16 values in 32, 16 + 4, 2, 4 + 4 and 8 + 4 bytes a token; offsets of 8 bytes; centroids and buckets."""
    documents = some()
    tokens = len(documents.embeddings)
    found = [LateInteractionRetriever(encoder, embeddings=documents, codec=codec) for codec in CODECS]
    sizes = [one.collection.nbytes - 61 * 8 for one in found]
    shared = [4 * (2 * 16 + 3 + 4) + 1, 4 * (2 * 16 + 15 + 16) + 1]
    assert sizes == [32 * tokens, 20 * tokens, 2 * tokens, 8 * tokens + shared[0], 12 * tokens + shared[1]]


@pytest.mark.parametrize("factory", [None, "Flat", "HNSW16"])
def test_candidates_are_scored_exactly(factory: str | None, encoder: Letters) -> None:
    if factory:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    muvera = Muvera(16, repetitions=8, partition_bits=3, projection_dim=8)
    documents = some()
    options: dict[str, Any] = {"embeddings": documents, "muvera": muvera, "factory": factory}
    scores = by_definition(*asked(), documents)
    expect(LateInteractionRetriever(encoder, candidates=60, **options).rank_vectors(*asked(), 9), scores, 9, atol=5e-3)
    estimates = muvera(asked()[0], documents, asked()[1])
    best = estimates.topk(12, dim=1).indices
    few = torch.full_like(scores, -torch.inf).scatter(1, best, scores.gather(1, best))
    found = LateInteractionRetriever(encoder, candidates=12, **options).rank_vectors(*asked(), 9)
    if factory == "HNSW16":  # which promises nothing
        return
    expect(found, few, 9, atol=5e-3)
    allowed = torch.arange(60) % 3 == 0
    among = LateInteractionRetriever(encoder, candidates=60, **options).rank_vectors(*asked(), 9, allowed=allowed)
    expect(among, scores.masked_fill(~allowed, -torch.inf), 9, atol=5e-3)


def test_scores_of_a_training_encoder_carry_gradients(encoder: Letters) -> None:
    muvera = Muvera(16, repetitions=8, partition_bits=2)
    retriever = LateInteractionRetriever(encoder, TEXTS, muvera=muvera)
    before = retriever(["ab", "fg"], 3)
    encoder.train()
    ranking = retriever(["ab", "fg"], 3)
    assert torch.equal(ranking.ids, before.ids)
    torch.testing.assert_close(ranking.scores, before.scores, atol=2e-3, rtol=0)
    ranking.scores.sum().backward()
    grad = encoder.table.grad
    assert grad is not None
    queries, mask = encoder.encode_queries(["ab", "fg"])
    own = by_definition(queries, mask, encoder.encode_documents(TEXTS))
    expected = torch.autograd.grad(own.gather(1, ranking.ids).sum(), encoder.table)[0]
    torch.testing.assert_close(grad, expected)
    with torch.no_grad():
        encoder.table.neg_().add_(0.5)
    anew = LateInteractionRetriever(encoder.eval(), TEXTS, muvera=muvera)
    assert torch.equal(anew(["ab"], 3).scores, retriever(["ab"], 3).scores)
    encoded = encoder.encoded
    retriever(["ab"], 3)
    assert encoder.encoded == encoded
    encoder.train()
    without_texts = LateInteractionRetriever(encoder, embeddings=some())
    assert without_texts(["ab"], 2).scores.requires_grad


@pytest.mark.parametrize("factory", [None, "Flat"])
@pytest.mark.parametrize("codec", ["fp16", "residual4"])
def test_adding_and_deleting_is_indexing_what_remains(factory: str | None, codec: Any, encoder: Letters) -> None:
    if factory:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    options: dict[str, Any] = {
        "codec": codec,
        "muvera": Muvera(16, repetitions=8, partition_bits=2),
        "factory": factory,
    }
    retriever = LateInteractionRetriever(encoder, TEXTS, **options).index()
    assert retriever.add(["hhg", "cab"]).tolist() == [10, 11]
    retriever.delete([0, 8, 11])
    assert retriever.add(["xyz"]).tolist() == [12]
    assert retriever.add(["gfa"], ids=[8]).tolist() == [8]
    assert retriever.texts == (*TEXTS[1:8], "hgf", "hhg", "xyz", "gfa")
    assert retriever.ids is not None
    assert retriever.texts is not None
    assert retriever.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 8]
    assert retriever.documents == 11
    found = retriever(["hgf", "abc"], 8)
    scores = by_definition(*encoder.encode_queries(["hgf", "abc"]), encoder.encode_documents(retriever.texts))
    if codec == "residual4":
        kept = retriever.collection.tokens.decoded(torch.arange(11))
        scores = by_definition(*encoder.encode_queries(["hgf", "abc"]), kept)
    by_id = torch.full((2, 13), -torch.inf).index_copy(1, retriever.ids, scores)
    torch.testing.assert_close(found.scores, by_id.topk(8, dim=1).values, atol=2e-3, rtol=0)
    torch.testing.assert_close(by_id.gather(1, found.ids), found.scores, atol=2e-3, rtol=0)
    allowed = torch.arange(13) % 2 == 0
    among = retriever.rank_allowed(["hgf", "abc"], 4, allowed)
    best = by_id.masked_fill(~allowed, -torch.inf).topk(4, dim=1)
    torch.testing.assert_close(among.scores, best.values, atol=2e-3, rtol=0)
    assert torch.equal(among.ids.sort(dim=1).values, best.indices.sort(dim=1).values)
    retriever.index()
    assert retriever.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 8]


def test_a_collection_from_nothing_to_nothing(encoder: Letters) -> None:
    retriever = LateInteractionRetriever(encoder, codec="int8")
    with pytest.raises(InputError, match="the collection is empty: add documents"):
        retriever(["a"], 1)
    assert retriever.add(["ab", "cd"], ids=[7, 3]).tolist() == [7, 3]
    assert retriever(["cd"], 2).ids.tolist() == [[3, 7]]
    retriever.delete([3, 7])
    with pytest.raises(InputError, match="the collection is empty: add documents"):
        retriever(["a"], 1)
    assert retriever.add(["ef"]).tolist() == [8]
    assert retriever(["a"], 1).ids.tolist() == [[8]]


def test_the_stages_of_a_pipeline(encoder: Letters) -> None:
    retriever = LateInteractionRetriever(encoder, TEXTS)
    allowed = torch.tensor([True, True, False, True, True, True, True, True, False, True])
    ranking = Pipeline(Filtered(retriever, allowed), k=4)(["fgh", "ca"])
    scores = by_definition(*encoder.encode_queries(["fgh", "ca"]), encoder.encode_documents(TEXTS))
    expect(ranking, scores.masked_fill(~allowed, -torch.inf), 4, atol=2e-3)
    assert 5 not in retriever(["ca"], 10).ids.tolist()[0]  # it has no token
    assert retriever(["ca"], 10).mask.sum() == 9


def test_bad_input(encoder: Letters) -> None:
    retriever = LateInteractionRetriever(encoder, TEXTS)
    with pytest.raises(InputError, match="k=11 must lie between 1 and the size of the collection: pass 10 at most"):
        retriever(["a"], 11)
    with pytest.raises(InputError, match="no document given"):
        LateInteractionRetriever(encoder, [])
    with pytest.raises(InputError, match="of at least one document, got"):
        LateInteractionRetriever(encoder, embeddings=PackedTokens(torch.zeros(0, 16), torch.zeros(1).int()))
    with pytest.raises(InputError, match="expected embeddings of 10, got those of 60"):
        LateInteractionRetriever(encoder, TEXTS, embeddings=some())
    with pytest.raises(InputError, match="cu_seqlens: expected to rise from 0 to 3"):
        LateInteractionRetriever(encoder, embeddings=PackedTokens(torch.zeros(3, 16), torch.tensor([0, 2])))
    with pytest.raises(InputError, match="codec: expected one of fp16, int8"):
        LateInteractionRetriever(encoder, TEXTS, codec="fp8")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="candidates: expected at least 1"):
        LateInteractionRetriever(encoder, TEXTS, candidates=0)
    with pytest.raises(InputError, match="factory='Flat' indexes MUVERA's encodings"):
        LateInteractionRetriever(encoder, TEXTS, factory="Flat")
    with pytest.raises(InputError, match=r"tokens: expected \[total_tokens, 8\], got \[23, 16\]"):
        LateInteractionRetriever(encoder, TEXTS, muvera=Muvera(8)).index()
    with pytest.raises(InputError, match="embeddings: expected finite values, got NaN"):
        LateInteractionRetriever(encoder, embeddings=PackedTokens(torch.full((2, 16), torch.nan), torch.tensor([0, 2])))
    with pytest.raises(InputError, match="a dim that is a multiple of 8"):
        LateInteractionRetriever(encoder, embeddings=PackedTokens(torch.zeros(2, 9), torch.tensor([0, 2])))
    with pytest.raises(InputError, match="none has a token, to which residuals could be fitted"):
        LateInteractionRetriever(encoder, ["", ""], codec="residual2").index()
    with pytest.raises(InputError, match="there are no texts to encode"):
        LateInteractionRetriever(encoder, embeddings=some()).index()
    with pytest.raises(InputError, match="queries have 8 dimensions, the index 16"):
        retriever.rank_vectors(torch.zeros(1, 2, 8), None, 1)
    with pytest.raises(InputError, match=r"query 1 \(counting from 0\) holds NaN"):
        retriever.rank_vectors(torch.stack([torch.ones(2, 16), torch.full((2, 16), torch.nan)]), None, 1)
    with pytest.raises(InputError, match=r"allowed: expected \[10\]"):
        retriever.rank_allowed(["a"], 1, torch.ones(9).bool())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.add([]), "no document given"),
        (lambda r: r.add(["a", "b"], ids=[11, 11]), "ids: 11 is given twice"),
        (lambda r: r.add(["a"], ids=[3]), "ids: 3 is in the index already"),
        (lambda r: r.add(["a"], ids=[-1]), "ids: expected numbers from 0 on, got -1"),
        (lambda r: r.add(["a"], ids=[11, 12]), "ids: expected 1, one a document, got 2"),
        (lambda r: r.delete([10]), "ids: 10 is not in the index"),
        (lambda r: r.delete([1, 1]), "ids: 1 is given twice"),
    ],
)
def test_a_refused_change_changes_nothing(call: Any, message: str, encoder: Letters) -> None:
    retriever = LateInteractionRetriever(encoder, TEXTS, muvera=Muvera(16, repetitions=2)).index()
    before = {name: tensor.clone() for name, tensor in retriever.state_dict().items()}
    with pytest.raises(InputError, match=message):
        call(retriever)
    assert retriever.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in retriever.state_dict().items())
    assert retriever.texts == tuple(TEXTS)

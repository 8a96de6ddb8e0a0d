"""Qdrant against exact retrievers and the fusion of this package, its filters, broken uploads, bad input."""

from __future__ import annotations

import gc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.fuse import reciprocal_rank_fusion
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.ops import maxsim
from rankgrad.retrieve import DenseRetriever, Filtered, Metadata, QdrantCondition, QdrantRetriever, SparseRetriever
from rankgrad.retrieve.encoded import EncodedCorpus, Shard, write_manifest, write_shard
from rankgrad.types import PackedTokens

pytest.importorskip("qdrant_client", reason="the extra qdrant")

TEXTS = [f"{word} {other}" for word in ("cat", "dog", "owl", "bee") for other in ("sat", "ran", "flew")]
QUERIES = ["cat ran", "owl", "a bee flew"]
YEARS = [1990 + row for row in range(len(TEXTS))]
LANGUAGES = [("en", "de", None)[row % 3] for row in range(len(TEXTS))]
METADATA = Metadata({"year": YEARS, "language": LANGUAGES, "short": [len(text) < 8 for text in TEXTS]})


def numbers(texts: Sequence[str], width: int) -> torch.Tensor:
    """The same random vector for the same text."""
    rows = []
    for text in texts:
        generator = torch.Generator().manual_seed(zlib.crc32(text.encode()))
        rows.append(torch.rand(width, generator=generator) + 0.01)
    return torch.stack(rows)


class Dense:
    """One vector a text; counts what it encodes."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        return numbers(texts, 6)

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        self.seen += texts
        return numbers(texts, 6)


class Sparse:
    """Weights of words' first letters."""

    def encode_queries(self, texts: Sequence[str]) -> SparseRows:
        dense = torch.zeros(len(texts), 26)
        for row, text in enumerate(texts):
            for word in text.split():
                dense[row, ord(word[0]) - 97] += 1 + len(text) / 50
        return SparseRows.of(dense)

    encode_documents = encode_queries


class Late:
    """One vector a word; in a document it depends on the others, so that scores are not equal."""

    def encode_queries(self, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        words = [text.split() for text in texts]
        mask = torch.arange(max(map(len, words))) < torch.tensor([[len(one)] for one in words])
        embeddings = torch.zeros(*mask.shape, 4)
        embeddings[mask] = numbers([word for one in words for word in one], 4)
        return embeddings, mask

    def encode_documents(self, texts: Sequence[str]) -> PackedTokens:
        words = [text.split() for text in texts]
        ends = torch.tensor([0, *map(len, words)]).cumsum(0).to(torch.int32)
        return PackedTokens(numbers([f"{word} in {' '.join(one)}" for one in words for word in one], 4), ends)


def test_dense_vectors_rank_as_an_exact_search() -> None:
    found = QdrantRetriever(Dense(), TEXTS, batch_size=5)(QUERIES, 4)
    wanted = DenseRetriever(Dense(), TEXTS)(QUERIES, 4)
    assert found.ids.tolist() == wanted.ids.tolist()
    torch.testing.assert_close(found.scores, wanted.scores)
    assert found.mask.all()


def test_sparse_vectors_rank_as_an_inverted_index() -> None:
    encoder = Sparse()
    found = QdrantRetriever(encoder, TEXTS)(QUERIES, len(TEXTS))
    wanted = SparseRetriever(encoder, TEXTS, width=26)(QUERIES, len(TEXTS))
    assert not wanted.mask.all()
    assert found.ids.tolist() == wanted.ids.tolist()
    torch.testing.assert_close(found.scores, wanted.scores)


def test_token_vectors_rank_by_maxsim_and_a_document_without_tokens_is_not_found() -> None:
    encoder, texts = Late(), [*TEXTS, ""]
    embeddings, mask = encoder.encode_queries(QUERIES)
    packed = encoder.encode_documents(texts)
    scores = maxsim(embeddings, packed.embeddings, mask, document_cu_seqlens=packed.cu_seqlens)
    found = QdrantRetriever(encoder, texts)(QUERIES, len(texts))
    order = scores.argsort(dim=1, descending=True, stable=True)[:, : len(TEXTS)]
    assert found.ids[:, :-1].tolist() == order.tolist()
    torch.testing.assert_close(found.scores[:, :-1], scores.gather(1, order))
    assert found.ids[:, -1].tolist() == [-1, -1, -1]


def test_reciprocal_ranks_are_fused_as_this_package_does() -> None:
    encoders = {"dense": Dense(), "late": Late()}
    found = QdrantRetriever(encoders, TEXTS, rrf_k=20)(QUERIES, 5)
    lists = [QdrantRetriever(one, TEXTS)(QUERIES, len(TEXTS)) for one in encoders.values()]
    wanted = reciprocal_rank_fusion(lists, k=20)
    torch.testing.assert_close(found.scores, wanted.scores[:, :5])
    assert found.ids.tolist() == wanted.ids[:, :5].tolist()


def test_one_encoder_reorders_what_another_found() -> None:
    found = QdrantRetriever({"dense": Dense(), "late": Late()}, TEXTS, reorder_by="late", depth=6)(QUERIES, 6)
    wanted = DenseRetriever(Dense(), TEXTS)(QUERIES, 6)
    whole = QdrantRetriever(Late(), TEXTS)(QUERIES, len(TEXTS))
    for row in range(3):
        inside = [one for one in whole.ids[row].tolist() if one in wanted.ids[row].tolist()]
        assert found.ids[row].tolist() == inside


def test_distributions_are_fused_by_the_server() -> None:
    found = QdrantRetriever({"dense": Dense(), "late": Late()}, TEXTS, fusion="dbsf")(QUERIES, 5)
    lists = [QdrantRetriever(one, TEXTS)(QUERIES, len(TEXTS)) for one in (Dense(), Late())]
    total = torch.zeros(3, len(TEXTS), dtype=torch.float64)
    for one in lists:
        scores = one.scores.double()
        spread = 3 * scores.std(1, keepdim=True)
        total.scatter_add_(1, one.ids, (scores - scores.mean(1, keepdim=True) + spread) / (2 * spread))
    assert found.ids.tolist() == total.argsort(1, descending=True)[:, :5].tolist()


@pytest.mark.parametrize(
    ("where", "mask"),
    [
        (QdrantCondition.between("year", 1993, 1997), METADATA.between("year", 1993, 1997)),
        (QdrantCondition.between("language"), METADATA.between("language")),
        (QdrantCondition.one_of("language", ["de"]), METADATA.one_of("language", ["de"])),
        (~QdrantCondition.one_of("language", ["de"]), ~METADATA.one_of("language", ["de"])),
        (QdrantCondition.one_of("year", [1990.0, 1991]), METADATA.one_of("year", [1990, 1991])),
        (QdrantCondition.one_of("year", []), METADATA.one_of("year", [])),
        (
            QdrantCondition.one_of("short", [True]) & ~QdrantCondition.between("year", high=1994)
            | QdrantCondition.one_of("year", [1990]),
            METADATA.one_of("short", [True]) & ~METADATA.between("year", high=1994) | METADATA.one_of("year", [1990]),
        ),
    ],
)
def test_a_condition_is_the_mask_of_the_same_condition(where: QdrantCondition, mask: torch.Tensor) -> None:
    retriever = QdrantRetriever(Dense(), TEXTS, metadata=METADATA)
    found, wanted = retriever(QUERIES, 6, where=where), Filtered(DenseRetriever(Dense(), TEXTS), mask)(QUERIES, 6)
    assert found.ids.tolist() == wanted.ids.tolist()
    assert Filtered(retriever, mask)(QUERIES, 6).ids.tolist() == wanted.ids.tolist()


def test_documents_come_and_go_and_a_folder_keeps_them(tmp_path: Path) -> None:
    place = str(tmp_path / "qdrant")
    retriever = QdrantRetriever(Dense(), TEXTS[:10], metadata=Metadata({"year": YEARS[:10]}), location=place)
    assert retriever.add(TEXTS[10:], metadata=Metadata({"language": LANGUAGES[10:]})) == range(10, 12)
    retriever.delete([3, 4])
    assert retriever.documents == 10
    retriever.close()
    again = QdrantRetriever(Dense(), location=place)
    kept = torch.ones(12, dtype=torch.bool)
    kept[[3, 4]] = False
    wanted = Filtered(DenseRetriever(Dense(), TEXTS), kept)(QUERIES, 10)
    assert again(QUERIES, 10).ids.tolist() == wanted.ids.tolist()
    # Masks are of rows, of which there are more than documents now.
    even = torch.arange(12) % 2 == 0
    wanted = Filtered(DenseRetriever(Dense(), TEXTS), kept & even)(QUERIES, 10)
    assert again.rank_allowed(QUERIES, 10, even).ids.tolist() == wanted.ids.tolist()
    assert Filtered(again, even)(QUERIES, 10).ids.tolist() == wanted.ids.tolist()
    with pytest.raises(InputError, match=r"allowed: expected \[12\] or \[3, 12\]"):
        again.rank_allowed(QUERIES, 10, even[:10])
    # Also where the highest row is gone.
    again.delete([11])
    assert again.rank_allowed(["cat"], 9, torch.arange(12) == 11).ids.tolist() == [[-1] * 9]
    assert again.add(TEXTS[11:], metadata=Metadata({"language": LANGUAGES[11:]})) == range(11, 12)
    assert again(["cat"], 2, where=QdrantCondition.one_of("language", ["de"])).ids.tolist() == [[10, -1]]
    again.close()
    with pytest.raises(InputError, match=r"holds vectors \{'text': 6\} and sparse ones"):
        QdrantRetriever(Sparse(), ["a"], location=place).index(anew=True)


# The engine leaves its lock file to the collector when it refuses a folder.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_folder_in_use(tmp_path: Path) -> None:
    retriever = QdrantRetriever(Dense(), location=str(tmp_path))
    with pytest.raises(InputError, match="already accessed by another instance"):
        QdrantRetriever(Dense(), location=str(tmp_path))
    gc.collect()
    retriever.close()


def test_a_broken_upload_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = Dense()
    retriever = QdrantRetriever(encoder, TEXTS, batch_size=4)
    put = retriever.server.put
    sent: list[int] = []

    def stop_at_the_second(points: Sequence[object]) -> None:
        if sent:
            raise InputError("no answer")
        sent.append(len(points))
        put(points)

    monkeypatch.setattr(retriever.server, "put", stop_at_the_second)
    with pytest.raises(InputError, match="no answer"):
        retriever.index()
    monkeypatch.undo()
    encoder.seen.clear()
    retriever.index()
    assert encoder.seen == TEXTS[4:]
    retriever.texts[5] = "another text"
    encoder.seen.clear()
    retriever.index()
    assert encoder.seen == ["another text"]


def test_shards_are_sent_once(tmp_path: Path) -> None:
    write_manifest(tmp_path, {"documents": 12, "shard_size": 5})
    for start in (0, 5, 10):
        texts = TEXTS[start : start + 5]
        write_shard(tmp_path, Shard(start, tuple(texts), Late().encode_documents(texts)))
    retriever = QdrantRetriever(Late(), batch_size=3)
    retriever.upload(EncodedCorpus(tmp_path), metadata=METADATA)
    wanted = QdrantRetriever(Late(), TEXTS)(QUERIES, 5)
    assert retriever(QUERIES, 5).ids.tolist() == wanted.ids.tolist()
    retriever.server.put = None  # type: ignore[assignment]
    retriever.upload(EncodedCorpus(tmp_path))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: QdrantRetriever(Dense())(QUERIES, 1), InputError, "no collection 'documents' yet: pass documents"),
        (lambda: QdrantRetriever(Dense(), TEXTS, fusion="max"), InputError, "fusion='max' is unknown"),
        (lambda: QdrantRetriever(Dense(), TEXTS, reorder_by="late"), InputError, "reorder_by='late': name one of"),
        (lambda: QdrantRetriever(Dense(), TEXTS, attempts=0), InputError, "attempts=0: expected at least 1"),
        (lambda: QdrantRetriever(Dense(), TEXTS, depth=0), InputError, "depth=0: expected at least 1"),
        (lambda: QdrantRetriever(Dense(), TEXTS)([""], 1), InputError, "query 0 .* is empty"),
        (lambda: QdrantRetriever(Dense(), TEXTS)(QUERIES, 99), InputError, "k=99 must lie between"),
        (
            lambda: QdrantRetriever(Dense(), TEXTS, metadata=METADATA)(
                QUERIES, 1, where=QdrantCondition.one_of("color", ["red"])
            ),
            InputError,
            "no field 'color': choose one of language, short, year",
        ),
        (
            lambda: QdrantRetriever(Dense(), TEXTS)(QUERIES, 1, where=QdrantCondition.between("year", 1)),
            InputError,
            "no field 'year': the documents have no fields",
        ),
        (lambda: QdrantCondition.one_of("year", "1990"), TypeError, "write \\['1990'\\]"),
        (lambda: QdrantCondition.between("year", "1990"), InputError, "Qdrant compares numbers"),
        (
            lambda: QdrantRetriever(Dense(), TEXTS, metadata=Metadata({"year": [1]})).index(),
            InputError,
            "'year' has 1 values, expected 12",
        ),
        (lambda: QdrantRetriever({"a": Dense(), "b": Late()}).upload([]), InputError, "vectors of one encoder"),
    ],
)
def test_bad_input(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

"""Dense retrieval against a full product, its ties, its gradients, FAISS, its files, bad input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import MMR
from rankgrad.retrieve import DenseRetriever, FaissIndex, Filtered

TEXTS = ["ab", "bb", "ca", "abc", "b", "ddd"]


class LetterCounts(nn.Module):
    """A learnt vector a letter, summed over a text."""

    def __init__(self, dim: int = 4) -> None:
        super().__init__()
        self.table = nn.Embedding(26, dim)
        self.encoded = 0

    def encode_queries(self, texts: Sequence[str]) -> Tensor:
        return torch.stack([self.table(torch.tensor([ord(c) - 97 for c in text])).sum(0) for text in texts])

    def encode_documents(self, texts: Sequence[str]) -> Tensor:
        self.encoded += len(texts)
        return self.encode_queries(texts)


@pytest.fixture
def encoder() -> LetterCounts:
    torch.manual_seed(0)
    return LetterCounts().eval()


@pytest.mark.parametrize("k", [1, 7, 60])
def test_chunks_find_what_the_full_product_does(k: int, encoder: LetterCounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankgrad.retrieve._exact._QUERIES", 3)
    monkeypatch.setattr("rankgrad.retrieve._exact._BLOCK_ELEMENTS", 33)
    generator = torch.Generator().manual_seed(k)
    # Small whole numbers: products are exact, and many are equal.
    documents = torch.randint(-2, 3, (60, 4), generator=generator).float()
    queries = torch.randint(-2, 3, (7, 4), generator=generator).float()
    ranking = DenseRetriever(encoder, embeddings=documents).rank_vectors(queries, k)
    scores, ids = (queries @ documents.T).sort(dim=1, descending=True, stable=True)
    assert torch.equal(ranking.ids, ids[:, :k])
    assert torch.equal(ranking.scores, scores[:, :k])
    assert ranking.mask.all()
    allowed = torch.rand(7, 60, generator=generator) < 0.3
    found = DenseRetriever(encoder, embeddings=documents).rank_vectors(queries, k, allowed=allowed)
    for row in range(7):
        expected = [int(one) for one in ids[row] if allowed[row, one]][:k]
        assert found.ids[row].tolist() == expected + [-1] * (k - len(expected))


def test_scores_of_a_training_encoder_carry_gradients(encoder: LetterCounts) -> None:
    retriever = DenseRetriever(encoder, TEXTS)
    before = retriever(["ab"], 3)
    encoder.train()
    ranking = retriever(["ab"], 3)
    assert torch.equal(ranking.ids, before.ids)
    torch.testing.assert_close(ranking.scores, before.scores)
    ranking.scores[0, 0].backward()
    query, document = (encoder.encode_queries([text]) for text in ("ab", TEXTS[int(ranking.ids[0, 0])]))
    grads = torch.autograd.grad((query * document).sum(), encoder.table.weight)
    torch.testing.assert_close(encoder.table.weight.grad, grads[0])
    with torch.no_grad():
        encoder.table.weight.mul_(-2.0)
    assert torch.equal(DenseRetriever(encoder.eval(), TEXTS)(["ab"], 3).scores, retriever(["ab"], 3).scores)
    encoded = encoder.encoded
    retriever(["ab"], 3)
    assert encoder.encoded == encoded


def test_embeddings_alone_train_the_query_encoder(encoder: LetterCounts) -> None:
    retriever = DenseRetriever(encoder, embeddings=torch.eye(4))
    encoder.train()
    retriever(["a"], 1).scores.sum().backward()
    assert encoder.table.weight.grad is not None
    assert int(encoder.table.weight.grad.abs().sum()) == 1
    assert encoder.encoded == 0


@pytest.mark.parametrize("factory", [None, "Flat", "IVF2,Flat", "HNSW8"])
def test_an_index_survives(factory: str | None, encoder: LetterCounts, tmp_path: Path) -> None:
    if factory:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    search = {"nprobe": 2} if factory == "IVF2,Flat" else None
    retriever = DenseRetriever(encoder, TEXTS * 20, faiss=factory, faiss_search=search)
    before = retriever(["ab", "c"], 9)
    if factory != "HNSW8":  # which promises nothing
        torch.testing.assert_close(before.scores, DenseRetriever(encoder, TEXTS * 20)(["ab", "c"], 9).scores)
    retriever.save(tmp_path / "index")
    encoded = encoder.encoded
    for documents in (TEXTS * 20, None):
        other = DenseRetriever.load(tmp_path / "index", encoder, documents, faiss_search=search)
        assert all(torch.equal(one, two) for one, two in zip(other(["ab", "c"], 9), before, strict=True))
    assert encoder.encoded == encoded
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]
    with pytest.raises(InputError, match="indexes 120 documents, not these 6"):
        DenseRetriever.load(tmp_path / "index", encoder, TEXTS)


def test_a_state_dictionary_holds_a_faiss_index(encoder: LetterCounts) -> None:
    pytest.importorskip("faiss", reason="FAISS is an optional extra")
    one, other = (DenseRetriever(encoder, texts, faiss="Flat") for texts in (TEXTS, TEXTS[::-1]))
    before = one(["ab", "c"], 4)
    other.index()
    encoded = encoder.encoded
    other.load_state_dict(one.state_dict())
    assert all(torch.equal(here, there) for here, there in zip(other(["ab", "c"], 4), before, strict=True))
    assert encoder.encoded == encoded
    # Before there is an index, there is none after loading either.
    other.load_state_dict(DenseRetriever(encoder, TEXTS, faiss="Flat").state_dict())
    assert other.faiss is not None
    assert other.faiss.documents == 0


def test_a_state_of_another_number_of_documents(encoder: LetterCounts) -> None:
    state = DenseRetriever(encoder, TEXTS[:4]).index().state_dict()
    with pytest.raises(InputError, match="the state indexes 4 documents, not these 6: pass the same ones"):
        DenseRetriever(encoder, TEXTS).load_state_dict(state)


def test_damaged_files(encoder: LetterCounts, tmp_path: Path) -> None:
    DenseRetriever(encoder, embeddings=torch.ones(3, 4)).save(tmp_path / "index")
    path = tmp_path / "index" / "index.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match="cut off or damaged"):
        DenseRetriever.load(tmp_path / "index", encoder)
    path.write_bytes(whole)
    settings = tmp_path / "index" / "index.json"
    settings.write_text(settings.read_text().replace('"documents": 3', '"documents": 4'))
    with pytest.raises(InputError, match="no complete dense index"):
        DenseRetriever.load(tmp_path / "index", encoder)
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(InputError, match="holds other files"):
        DenseRetriever(encoder, TEXTS).save(tmp_path)


def test_faiss_under_a_filter_and_its_damaged_file(encoder: LetterCounts, tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="FAISS is an optional extra")
    embeddings = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    allowed = torch.arange(50) % 9 == 0
    faiss = DenseRetriever(encoder, embeddings=embeddings, faiss="Flat")
    exact = DenseRetriever(encoder, embeddings=embeddings)
    found, expected = (one.rank_allowed(["ab", "d"], 8, allowed) for one in (faiss, exact))
    assert torch.equal(found.ids, expected.ids)
    assert found.ids[:, 6:].tolist() == [[-1, -1]] * 2
    faiss.save(tmp_path / "index")
    path = tmp_path / "index" / "index.faiss"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"index\.faiss is cut off or damaged"):
        DenseRetriever.load(tmp_path / "index", encoder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.faiss is missing"):
        DenseRetriever.load(tmp_path / "index", encoder)
    with pytest.raises(InputError, match="faiss='Nonsense': FAISS refuses"):
        DenseRetriever(encoder, embeddings=embeddings, faiss="Nonsense")
    with pytest.raises(InputError, match="holds 50 documents, not these 6"):
        DenseRetriever(encoder, TEXTS, faiss=faiss.faiss)
    with pytest.raises(InputError, match="takes no nprobe"):
        DenseRetriever(encoder, embeddings=embeddings, faiss="Flat", faiss_search={"nprobe": 1})
    encoder.train()
    with pytest.raises(InputError, match="a FAISS index alone has no embeddings to train against"):
        faiss(["ab"], 1)


def test_a_failed_write_leaves_the_older_index(
    encoder: LetterCounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss", reason="FAISS is an optional extra")
    retriever = DenseRetriever(encoder, TEXTS, faiss="Flat")
    retriever.save(tmp_path / "index")

    def full(self: FaissIndex, folder: Path, *, name: str) -> None:
        (folder / name).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(FaissIndex, "write", full)
    with pytest.raises(OSError, match="no space left"):
        retriever.save(tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    assert DenseRetriever.load(tmp_path / "index", encoder).documents == 6


def test_the_stages_of_a_pipeline(encoder: LetterCounts) -> None:
    dense = DenseRetriever(encoder, TEXTS)
    allowed = Filtered(dense, torch.tensor([True, True, False, True, True, True]))
    embeddings = encoder.encode_documents(TEXTS)
    ranking = Pipeline(allowed, rerank=[MMR(embeddings, k=2)], k=5)(["ab", "c"])
    assert ranking.mask.all()
    assert [sorted(row) for row in ranking.ids.tolist()] == [[0, 1, 3, 4, 5]] * 2
    assert torch.equal(ranking.ids[:, 0], allowed(["ab", "c"], 1).ids[:, 0])


def test_bad_input(encoder: LetterCounts) -> None:
    with pytest.raises(InputError, match="no document given"):
        DenseRetriever(encoder)
    with pytest.raises(InputError, match="no document given"):
        DenseRetriever(encoder, [])
    with pytest.raises(InputError, match=r"embeddings: expected embeddings \[embeddings, dim\], got \[0, 4\]"):
        DenseRetriever(encoder, embeddings=torch.zeros(0, 4))
    with pytest.raises(InputError, match="embeddings: row 1 holds NaN"):
        DenseRetriever(encoder, embeddings=torch.tensor([[1.0], [torch.nan]]))
    with pytest.raises(InputError, match="expected 6 rows, one a document, got 2"):
        DenseRetriever(encoder, TEXTS, embeddings=torch.ones(2, 4))
    with pytest.raises(InputError, match=r"faiss_search={'nprobe': 8} says nothing without a factory string"):
        DenseRetriever(encoder, TEXTS, faiss_search={"nprobe": 8})
    with pytest.raises(InputError, match="queries have 4 dimensions, the index 5"):
        DenseRetriever(encoder, embeddings=torch.ones(2, 5))(["a"], 1)
    with pytest.raises(InputError, match="k=3 must lie between 1 and the size of the collection: pass 2 at most"):
        DenseRetriever(encoder, embeddings=torch.ones(2, 4))(["a"], 3)
    with pytest.raises(InputError, match="queries: row 0 holds NaN"):
        DenseRetriever(encoder, embeddings=torch.ones(2, 4)).rank_vectors(torch.full((1, 4), torch.nan), 1)
    with pytest.raises(InputError, match=r"allowed: expected \[2\] or \[1, 2\]"):
        DenseRetriever(encoder, embeddings=torch.ones(2, 4)).rank_allowed(["a"], 1, torch.ones(3).bool())

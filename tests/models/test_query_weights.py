"""Weights of query tokens: the table, what a ColBERT does with it, its folder."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import ColBERT, _document_frequencies
from rankgrad.modules import QueryWeights
from rankgrad.tokens import LateInteractionRules

DOCUMENTS = ["sort a list", "sort the values", "open a file and read its lines", ""]
RULES = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=10, document_length=24)


def colbert(folder: Path, **options: object) -> ColBERT:
    torch.manual_seed(0)
    return ColBERT.from_pretrained(folder, rules=RULES, dim=16, **options)  # type: ignore[arg-type]


def test_the_table_is_idf_over_its_mean() -> None:
    def idf(held: int) -> float:
        return math.log(1 + (4 - held + 0.5) / (held + 0.5))

    table = QueryWeights(7).fit(torch.tensor([4, 0, 0, 0, 3, 1, 0]), documents=4, whole=[0], neutral=[6]).table
    mean = (3 * idf(3) + idf(1)) / 4
    wanted = [idf(0) / mean] * 4 + [idf(3) / mean, idf(1) / mean, 1.0]
    assert table.tolist() == pytest.approx(wanted, rel=1e-6)
    with pytest.raises(InputError, match="1 documents hold no word"):
        QueryWeights(7).fit(torch.tensor([1, 0, 0, 0, 0, 0, 0]), documents=1, whole=[0])


def test_documents_are_counted_in_chunks(tiny_encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = colbert(tiny_encoder_folder).tokenizer
    whole = _document_frequencies.document_frequencies(late, DOCUMENTS, 200)
    words = late.tokenizer.token_to_id
    assert [int(whole[words(word)]) for word in ("[CLS]", "sort", "file", "join")] == [4, 2, 1, 0]
    monkeypatch.setattr(_document_frequencies, "_CHUNK", 3)
    assert torch.equal(_document_frequencies.document_frequencies(late, DOCUMENTS, 200), whole)


def test_scores_are_weighted_sums_of_maxima(tiny_encoder_folder: Path) -> None:
    plain, model = colbert(tiny_encoder_folder), colbert(tiny_encoder_folder, query_weights="fixed").fit_idf(DOCUMENTS)
    assert model.query_weights is not None
    packed = plain.encode_documents(DOCUMENTS)
    embeddings, mask = plain.encode_queries(["sort the file"])
    ids = torch.from_numpy(model.tokenizer.queries(["sort the file"]).input_ids)[0]
    weights = model.query_weights.table[ids] * mask[0]
    words = {word: float(weights[place]) for place, word in enumerate(model.text_tokenizer.convert_ids_to_tokens(ids))}
    assert words["sort"] < words["file"] < words["[CLS]"] == words["[SEP]"]
    assert words["[MASK]"] == 1.0
    starts = packed.cu_seqlens.tolist()
    wanted = [
        (weights * (embeddings[0] @ packed.embeddings[start:end].T).amax(dim=1)).sum()
        for start, end in pairwise(starts)
    ]
    torch.testing.assert_close(model.score(["sort the file"], packed)[0], torch.stack(wanted))


def test_a_folder_keeps_them(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    model = colbert(tiny_encoder_folder, query_weights="learned").fit_idf(DOCUMENTS)
    model.save_pretrained(tmp_path / "model")
    again = ColBERT.from_pretrained(tmp_path / "model")
    assert again.query_weights is not None
    assert again.query_weights.kind == "learned"
    packed = model.encode_documents(DOCUMENTS)
    torch.testing.assert_close(again.score(["open a list"], packed), model.score(["open a list"], packed))
    with pytest.raises(InputError, match="'pylate' has no place for the weights"):
        model.save_pretrained(tmp_path / "other", layout="pylate")
    (tmp_path / "model" / "query_weights.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="query_weights"):
        ColBERT.from_pretrained(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("kind", ["fixed", "learned"])
def test_only_learned_ones_have_a_gradient(tiny_encoder_folder: Path, kind: str) -> None:
    model = colbert(tiny_encoder_folder, query_weights=kind).fit_idf(DOCUMENTS).train()
    assert model.query_weights is not None
    model.score(["sort a list"], model.encode_documents(DOCUMENTS)).sum().backward()
    gradient = model.query_weights.weight.grad
    if kind == "fixed":
        assert gradient is None
    else:
        asked = set(model.tokenizer.queries(["sort a list"]).input_ids[0].tolist())
        assert gradient is not None
        assert set(gradient.nonzero().flatten().tolist()) == asked


def test_what_does_not_go_together_is_refused(tiny_encoder_folder: Path) -> None:
    with pytest.raises(InputError, match="query_weights='idf' is unknown: choose fixed or learned"):
        colbert(tiny_encoder_folder, query_weights="idf")
    with pytest.raises(InputError, match="query_weights and matryoshka_dims"):
        colbert(tiny_encoder_folder, query_weights="fixed", matryoshka_dims=[8])
    with pytest.raises(InputError, match="no weights of query tokens"):
        colbert(tiny_encoder_folder).fit_idf(DOCUMENTS)


def test_words_of_a_prompt_are_in_no_document(tiny_encoder_folder: Path) -> None:
    plain = colbert(tiny_encoder_folder, query_weights="fixed").fit_idf(DOCUMENTS)
    rules = replace(RULES, document_prompt="join keys ")
    prompted = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16, query_weights="fixed")
    assert plain.query_weights is not None
    assert prompted.fit_idf(DOCUMENTS).query_weights is not None
    torch.testing.assert_close(prompted.query_weights.table, plain.query_weights.table)

"""SPLADE: weights of terms against transformers' own logits, looked-up queries, pruning, folders, and its penalty."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.data.collate import ListCollate
from rankgrad.models import SparseEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.modules import SparseRows
from rankgrad.training.grad_cache import cached_scores

QUERIES = ["return the number of items", "open a file, open it!"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x", ""]
LISTS = [
    CandidateList("open a file", ("read its lines", "sort the values", "open a file"), (0.0, 0.0, 1.0)),
    CandidateList("sort values", ("sort the values",), (1.0,)),
]


@torch.no_grad()
def expected_weights(folder: Path, texts: list[str], *, special: bool) -> torch.Tensor:
    """The definition, a text at a time."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    rows = [model(**tokenizer(text, return_tensors="pt")).logits[0].relu().log1p().amax(0) for text in texts]
    weights = torch.stack(rows)
    if not special:
        weights[:, tokenizer.all_special_ids] = 0.0
    return weights


@pytest.mark.parametrize("special", [False, True])
def test_the_weights_are_those_of_the_definition(special: bool, tiny_mlm_folder: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder, special_terms=special)
    expected = expected_weights(tiny_mlm_folder, DOCUMENTS, special=special)
    rows = model.encode_documents(DOCUMENTS, batch_size=3)
    torch.testing.assert_close(rows.dense(model.width), expected, atol=1e-5, rtol=0)
    assert (rows.values > 0).all()
    assert rows.counts.tolist() == (expected > 0).sum(1).tolist()
    queries = expected_weights(tiny_mlm_folder, QUERIES, special=special)
    torch.testing.assert_close(model.score(QUERIES, rows), queries @ expected.T, atol=1e-4, rtol=1e-5)


def test_only_the_largest_weights_are_kept_outside_training(tiny_mlm_folder: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder, document_top_k=5)
    dense = expected_weights(tiny_mlm_folder, DOCUMENTS, special=False)
    rows = model.encode_documents(DOCUMENTS)
    assert rows.counts.tolist() == [5] * len(DOCUMENTS)
    torch.testing.assert_close(rows.dense(model.width).sum(1), dense.topk(5).values.sum(1), atol=1e-5, rtol=0)
    words = model.terms(rows)[1]
    assert list(words.values()) == sorted(words.values(), reverse=True)
    assert set(model.text_tokenizer.convert_tokens_to_ids(list(words))) == set(dense[1].topk(5).indices.tolist())
    batch = ListCollate(model.tokenizer)(LISTS)
    assert (model.train().embed_documents(batch.features.documents[0]) > 0).sum(1).min() > 5


def test_looked_up_queries_weigh_their_own_words(tiny_mlm_folder: Path, tmp_path: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder, queries="lookup", query_length=12, document_top_k=60)
    model.fit_idf(["open a file", "open a list", "sort"])
    found = model.terms(model.encode_queries(["open open sort!"]))[0]
    idf = {word: math.log(1 + (3 - n + 0.5) / (n + 0.5)) for word, n in (("open", 2), ("sort", 1), ("!", 0))}
    assert found == pytest.approx(idf, abs=1e-6)

    assert model.terms(model.set_weights({"open": 3.0, "!": 0.5}).encode_queries(["open sort!"])) == [
        {"open": 3.0, "!": 0.5}
    ]
    with pytest.raises(InputError, match="'unheard' is no token"):
        model.set_weights({"unheard": 1.0})
    model.fit_idf(DOCUMENTS)
    model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model/modules.json").exists()
    again = SparseEncoder.from_pretrained(tmp_path / "model")
    assert (again.queries, again.rules, again.top_k) == ("lookup", model.rules, {"query": None, "document": 60})
    documents = model.encode_documents(DOCUMENTS)
    torch.testing.assert_close(again.score(QUERIES, documents), model.score(QUERIES, documents))

    learnt = SparseEncoder.from_pretrained(tmp_path / "model", learn_weights=True)
    batch = ListCollate(learnt.tokenizer)(LISTS)
    learnt(batch.features).sum().backward()
    held = (model.embed_queries(batch.features.queries) > 0).float()
    columns = torch.cat([model.embed_documents(group) for group in batch.features.documents])[batch.features.slots]
    expected = (held[:, None] * columns).sum((0, 1))
    assert expected.count_nonzero() > 0
    torch.testing.assert_close(learnt.term_weights.grad, expected)


def test_lists_and_batches_are_scored_alike(tiny_mlm_folder: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder)
    scores = model(ListCollate(model.tokenizer)(LISTS).features)
    for row, one in enumerate(LISTS):
        expected = model.score([one.query], model.encode_documents(one.documents))[0]
        torch.testing.assert_close(scores[row][: len(one.documents)], expected, atol=1e-4, rtol=1e-5)
    shared = ListCollate(model.tokenizer, in_batch_negatives=True)(LISTS).features
    torch.testing.assert_close(cached_scores(model, shared, micro_batch_tokens=16), model(shared))


def test_rows_come_in_any_order_and_may_be_empty() -> None:
    dense = torch.tensor([[0.0, 1.0], [0.0, 0.0], [2.0, 3.0]])
    rows = SparseRows.of(dense)
    assert rows.counts.tolist() == [1, 0, 2]
    turned = SparseRows.joined([rows, SparseRows.of(dense[:1])], torch.tensor([2, 3, 1, 0]))
    torch.testing.assert_close(turned.dense(2), dense[[2, 0, 1, 0]])
    other = torch.tensor([[1.0, 10.0]])
    torch.testing.assert_close(turned.dots(other), other @ dense[[2, 0, 1, 0]].T)


@pytest.mark.parametrize("log_twice", [False, True])
def test_our_folder_gives_the_same_weights_there(log_twice: bool, tiny_mlm_folder: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    options = {"log_twice": log_twice, "query_length": 6, "document_length": 8}
    ours = SparseEncoder.from_pretrained(tiny_mlm_folder, special_terms=True, **options)
    ours.save_pretrained(tmp_path / "model")
    with folder_tools.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = library.SparseEncoder(str(tmp_path / "model"), device="cpu")
        queries, documents = theirs.encode_query(QUERIES), theirs.encode_document(DOCUMENTS)
        theirs.save(str(tmp_path / "theirs"))
    torch.testing.assert_close(ours.encode_queries(QUERIES).dense(ours.width), queries.to_dense(), atol=1e-5, rtol=0)
    dense = ours.encode_documents(DOCUMENTS).dense(ours.width)
    torch.testing.assert_close(dense, documents.to_dense(), atol=1e-5, rtol=0)
    again = SparseEncoder.from_pretrained(tmp_path / "theirs")
    assert (again.special_terms, again.log_twice) == (True, log_twice)
    torch.testing.assert_close(again.encode_documents(DOCUMENTS).dense(ours.width), dense, atol=1e-5, rtol=0)


def test_texts_to_be_put_into_lower_case_are_refused(tiny_mlm_folder: Path, tmp_path: Path) -> None:
    SparseEncoder.from_pretrained(tiny_mlm_folder).save_pretrained(tmp_path / "model")
    (tmp_path / "model/rankgrad_model.json").unlink()
    (tmp_path / "model/sentence_bert_config.json").write_text('{"max_seq_length": 9, "do_lower_case": true}')
    with pytest.raises(InputError, match=r"sets do_lower_case in sentence_bert_config.json, which is not read: put a"):
        SparseEncoder.from_pretrained(tmp_path / "model")


def test_what_cannot_be_is_said(tiny_mlm_folder: Path, tiny_encoder_folder: Path) -> None:
    with pytest.raises(InputError, match="lacks 6 tensors of a masked language model"):
        SparseEncoder.from_pretrained(tiny_encoder_folder)
    with pytest.raises(InputError, match="document_top_k=0"):
        SparseEncoder.from_pretrained(tiny_mlm_folder, document_top_k=0)
    with pytest.raises(InputError, match="has no table of weights"):
        SparseEncoder.from_pretrained(tiny_mlm_folder).fit_idf(DOCUMENTS)


def test_looked_up_queries_where_tensors_are_halves_by_default(tiny_mlm_folder: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder, queries="lookup")
    expected = model.encode_queries(QUERIES)
    torch.set_default_dtype(torch.bfloat16)
    try:
        found = model.encode_queries(QUERIES)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.values.dtype == torch.float32
    torch.testing.assert_close(found.values, expected.values)


def test_another_process_can_run_a_pickled_model(tiny_mlm_folder: Path, tmp_path: Path) -> None:
    model = SparseEncoder.from_pretrained(tiny_mlm_folder)
    torch.save(model, tmp_path / "model.pt")
    code = f"import torch; model = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False); "
    code += f"print(model.encode_queries({QUERIES!r}).values.sum().item())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(float(model.encode_queries(QUERIES).values.sum()), rel=1e-5)

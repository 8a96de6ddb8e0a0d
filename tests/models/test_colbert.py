"""ColBERT: what it scores, what it saves, what other libraries make of its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.tokens import LateInteractionRules

QUERIES = ["return the number of items", "open a file"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "join several strings", "x"]


def by_definition(model: ColBERT, queries: list[str], documents: list[str]) -> torch.Tensor:
    """MaxSim one pair at a time, each text encoded alone."""
    scores = torch.empty(len(queries), len(documents))
    with torch.no_grad():
        for i, query in enumerate(queries):
            embeddings, mask = model.encode_queries([query])
            for j, document in enumerate(documents):
                tokens = model.encode_documents([document]).embeddings
                scores[i, j] = (embeddings[0][mask[0]] @ tokens.T).amax(1).sum()
    return scores


@pytest.mark.parametrize("in_batch_negatives", [False, True])
def test_forward_is_maxsim_whatever_the_grouping(colbert: ColBERT, in_batch_negatives: bool) -> None:
    lists = [
        CandidateList(QUERIES[0], (DOCUMENTS[0], DOCUMENTS[2], DOCUMENTS[3]), (1.0, 0.0, 0.0)),
        CandidateList(QUERIES[1], (DOCUMENTS[1], DOCUMENTS[0]), (1.0, 0.0)),
    ]
    batch = ListCollate(colbert.tokenizer, in_batch_negatives=in_batch_negatives, group_size=2)(lists)
    with torch.no_grad():
        scores = colbert(batch.features)
    expected = by_definition(colbert, QUERIES, DOCUMENTS)
    if in_batch_negatives:
        assert sorted(scores[0].tolist()) == pytest.approx(sorted(expected[0].tolist()), abs=1e-5)
        assert scores.shape == (2, 4)
        assert batch.labels.sum(1).tolist() == [1.0, 1.0]
        positive = (scores * batch.labels).sum(1)
        torch.testing.assert_close(positive, torch.stack([expected[0, 0], expected[1, 1]]), atol=1e-5, rtol=0)
    else:
        wanted = torch.stack([expected[0, [0, 2, 3]], expected[1, [1, 0, 0]]])
        torch.testing.assert_close(scores[batch.mask], wanted[batch.mask], atol=1e-5, rtol=0)


def test_gradients_are_kept_in_training_alone(colbert: ColBERT) -> None:
    for training in (False, True):
        colbert.train(training)
        documents = colbert.encode_documents(DOCUMENTS, pool_factor=2)
        assert documents.embeddings.requires_grad is training
        assert colbert.encode_queries(QUERIES)[0].requires_grad is training
        assert colbert.score(QUERIES, documents).requires_grad is training
    with torch.no_grad():
        assert not colbert.score(QUERIES, documents).grad_fn


def test_batched_encoding_equals_one_by_one(colbert: ColBERT) -> None:
    with torch.no_grad():
        packed = colbert.encode_documents(DOCUMENTS, batch_size=3)
        alone = [colbert.encode_documents([text]).embeddings for text in DOCUMENTS]
    assert packed.cu_seqlens.tolist() == [0, *torch.tensor([len(rows) for rows in alone]).cumsum(0).tolist()]
    torch.testing.assert_close(packed.embeddings, torch.cat(alone), atol=1e-5, rtol=0)
    torch.testing.assert_close(packed.embeddings.norm(dim=-1), torch.ones(len(packed.embeddings)))


def test_expansion_is_scored_and_punctuation_is_not(colbert: ColBERT) -> None:
    tokens = colbert.tokenizer.queries(["open a file"])
    assert tokens.input_ids.shape == (1, 12)
    assert tokens.scored.all()
    assert tokens.attention_mask.sum() == 3 + 3  # [CLS] [Q] open a file [SEP]
    document = colbert.tokenizer.documents(["a list, and its items."])
    marks = [colbert.tokenizer.tokenizer.token_to_id(mark) for mark in ",."]
    scored = document.input_ids[document.scored].tolist()
    assert not set(marks) & set(scored)
    assert set(marks) < set(document.input_ids[document.attention_mask.astype(bool)].tolist())


def test_one_string_is_no_list_of_documents(colbert: ColBERT) -> None:
    with pytest.raises(TypeError, match="document: expected a sequence of strings, got one string; wrap it in a list"):
        colbert.encode_documents("sort a list")


def test_folder_gives_the_same_model_back(colbert: ColBERT, tmp_path: Path) -> None:
    colbert.save_pretrained(tmp_path / "model")
    again = ColBERT.from_pretrained(tmp_path / "model")
    assert again.rules == colbert.rules
    assert (tmp_path / "model" / "special_tokens_map.json").is_file()
    torch.testing.assert_close(by_definition(again, QUERIES, DOCUMENTS), by_definition(colbert, QUERIES, DOCUMENTS))
    again.save_pretrained(tmp_path / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_without_projection(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    model = ColBERT.from_pretrained(tiny_encoder_folder, dim=None)
    model.save_pretrained(tmp_path / "model")
    again = ColBERT.from_pretrained(tmp_path / "model")
    assert again.dim == model.dim == 32
    torch.testing.assert_close(by_definition(again, QUERIES, DOCUMENTS), by_definition(model, QUERIES, DOCUMENTS))


def test_new_prefixes_join_the_vocabulary(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    rules = LateInteractionRules(query_prefix="[query]", document_prefix="[document]")
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=8)
    model.save_pretrained(tmp_path / "model")
    tokens = ColBERT.from_pretrained(tmp_path / "model").tokenizer.queries(["open a file"])
    assert tokens.input_ids[0, 1] == model.tokenizer.tokenizer.token_to_id("[query]")


def test_sentence_transformers_reads_the_folder(colbert: ColBERT, tmp_path: Path) -> None:
    sentence_transformers = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    colbert.save_pretrained(tmp_path / "model")
    with folder_tools.quiet():
        peer = sentence_transformers.MultiVectorEncoder(str(tmp_path / "model"), device="cpu")
        theirs = peer.encode_document(DOCUMENTS[:1])
        query = peer.encode_query(QUERIES[:1])
    with torch.no_grad():
        torch.testing.assert_close(theirs[0], colbert.encode_documents(DOCUMENTS[:1]).embeddings, atol=1e-5, rtol=0)
        torch.testing.assert_close(query[0], colbert.encode_queries(QUERIES[:1])[0][0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be loaded|no valid JSON"),
        (lambda folder: cut(folder / "model.safetensors"), "cannot be loaded"),
        (lambda folder: cut(folder / "1_Dense" / "model.safetensors"), "cannot be read"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer"),
    ],
)
def test_damaged_folder_is_one_clear_error(colbert: ColBERT, tmp_path: Path, damage: object, message: str) -> None:
    colbert.save_pretrained(tmp_path / "model")
    damage(tmp_path / "model")  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        ColBERT.from_pretrained(tmp_path / "model")


def test_a_folder_of_something_else_is_not_replaced(colbert: ColBERT, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="would be replaced"):
        colbert.save_pretrained(tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("name", ["./nothing/here", "/nothing", "a/b/c"])
def test_a_name_that_is_no_model(name: str) -> None:
    with pytest.raises(InputError, match="no model folder"):
        CrossEncoder.from_pretrained(name)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_fitted_projection_keeps_similarities(tiny_encoder_folder: Path) -> None:
    rules = LateInteractionRules(query_expansion=False)
    wanted = by_definition(ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=None), QUERIES, DOCUMENTS)
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=20)
    at_random = (by_definition(model, QUERIES, DOCUMENTS) - wanted).abs().mean()
    fitted = (by_definition(model.fit_projection(DOCUMENTS + QUERIES), QUERIES, DOCUMENTS) - wanted).abs().mean()
    assert fitted < 0.5 * at_random
    rows = model.projection.layers[0].linear.weight
    torch.testing.assert_close(rows @ rows.T, torch.eye(20), atol=1e-5, rtol=0)

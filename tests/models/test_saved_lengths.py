"""A folder's own length counts, as in sentence-transformers, and not its tokenizer's, which may be smaller."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rankgrad.models import ColBERT, DenseEncoder, SparseEncoder
from rankgrad.models import _folder as folder_tools
from rankgrad.tokens import LateInteractionRules

# max_seq_length of the folder, and the length it is read with; 128 is the tokenizer's, 512 the encoder's positions.
LENGTHS = [(256, 256), (40, 40), (None, 128), (1000, 512)]


def change(path: Path, **values: object) -> None:
    """Set keys of a JSON file; those that are None are left out of it."""
    kept = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in kept.items() if value is not None}))


@pytest.fixture
def source(tiny_mlm_folder: Path, tmp_path: Path) -> Path:
    """A masked language model, whose tokenizer says 128."""
    folder = Path(shutil.copytree(tiny_mlm_folder, tmp_path / "source"))
    change(folder / "tokenizer_config.json", model_max_length=128)
    return folder


def saved(kind: Any, source: Path, folder: Path, length: int | None, **options: Any) -> Path:
    """A folder as others write it, with this ``max_seq_length``."""
    kind.from_pretrained(source, document_length=256, **options).save_pretrained(folder)
    (folder / "rankgrad_model.json").unlink()
    change(folder / "sentence_bert_config.json", max_seq_length=length)
    return folder


@pytest.mark.parametrize("kind", [DenseEncoder, SparseEncoder])
def test_a_length_beyond_the_tokenizers_comes_back(kind: Any, source: Path, tmp_path: Path) -> None:
    model = kind.from_pretrained(source, document_length=256)
    model.save_pretrained(tmp_path / "model")
    for _ in range(2):
        again = kind.from_pretrained(tmp_path / "model")
        assert again.rules == model.rules
        assert (again.rules.query_length, again.rules.document_length) == (256, 256)
        (tmp_path / "model/rankgrad_model.json").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", [DenseEncoder, SparseEncoder])
@pytest.mark.parametrize(("length", "wanted"), LENGTHS)
def test_of_a_folder_of_others(kind: Any, length: int | None, wanted: int, source: Path, tmp_path: Path) -> None:
    rules = kind.from_pretrained(saved(kind, source, tmp_path / "model", length)).rules
    assert (rules.query_length, rules.document_length) == (wanted, wanted)


@pytest.mark.parametrize("kind", [DenseEncoder, SparseEncoder])
@pytest.mark.parametrize("length", [256, 40, None])
def test_sentence_transformers_says_the_same(kind: Any, length: int | None, source: Path, tmp_path: Path) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    folder = saved(kind, source, tmp_path / "model", length)
    with folder_tools.quiet():
        reader = library.SentenceTransformer if kind is DenseEncoder else library.SparseEncoder
        theirs = reader(str(folder), device="cpu").max_seq_length
    assert kind.from_pretrained(folder).rules.document_length == theirs


@pytest.mark.parametrize(("length", "wanted"), LENGTHS)
def test_of_a_multi_vector_encoder(length: int | None, wanted: int, source: Path, tmp_path: Path) -> None:
    model = ColBERT.from_pretrained(source, rules=LateInteractionRules(query_expansion=False), dim=8)
    model.save_pretrained(tmp_path / "model", layout="sentence-transformers")
    told = {"query_length": None, "document_length": None, "max_seq_length": length}
    change(tmp_path / "model/sentence_bert_config.json", **told)
    rules = ColBERT.from_pretrained(tmp_path / "model").rules
    assert (rules.query_length, rules.document_length) == (wanted, wanted)


def test_no_file_says_a_length(source: Path, tmp_path: Path) -> None:
    model = ColBERT.from_pretrained(source, rules=LateInteractionRules(query_expansion=False), dim=8)
    model.save_pretrained(tmp_path / "model", layout="sentence-transformers")
    change(tmp_path / "model/sentence_bert_config.json", query_length=None, document_length=None)
    change(tmp_path / "model/tokenizer_config.json", model_max_length=None)
    change(tmp_path / "model/config.json", max_position_embeddings=None)
    assert ColBERT.from_pretrained(tmp_path / "model").rules.document_length == 256

"""Prompts of a sparse encoder's folder: those of sentence-transformers' encode_query and encode_document."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

from rankgrad.models import SparseEncoder
from rankgrad.models import _folder as folder_tools

QUERIES = ["return the number of items", "open a file, open it!"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "x", ""]
PROMPTS = [
    ({"query": "sort ", "document": "open "}, None),
    ({"query": "sort "}, "query"),
    ({"web": "join ", "passage": "open "}, "web"),
]


@pytest.mark.parametrize(("prompts", "default"), PROMPTS)
def test_prompts_stand_before_the_texts(
    prompts: dict[str, str], default: str | None, tiny_mlm_folder: Path, tmp_path: Path
) -> None:
    plain = SparseEncoder.from_pretrained(tiny_mlm_folder, special_terms=True)
    plain.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs/rankgrad_model.json").unlink()
    path = tmp_path / "theirs/config_sentence_transformers.json"
    told = {"prompts": prompts, "default_prompt_name": default}
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    query, document = (prompts.get(side, "") for side in ("query", "document"))
    model = SparseEncoder.from_pretrained(tmp_path / "theirs")
    assert (model.rules.query_prompt, model.rules.document_prompt) == (query, document)
    model.save_pretrained(tmp_path / "model")
    written = json.loads((tmp_path / "model/config_sentence_transformers.json").read_text())
    assert written["prompts"] == {"query": query, "document": document}
    wanted = plain.encode_queries([query + text for text in QUERIES]).dense(plain.width)
    documents = plain.encode_documents([document + text for text in DOCUMENTS]).dense(plain.width)
    for each in (model, SparseEncoder.from_pretrained(tmp_path / "model")):
        torch.testing.assert_close(each.encode_queries(QUERIES).dense(plain.width), wanted)
        torch.testing.assert_close(each.encode_documents(DOCUMENTS).dense(plain.width), documents)
    assert SparseEncoder.from_pretrained(tmp_path / "model", query_prompt="").rules.query_prompt == ""


@pytest.mark.parametrize(("prompts", "default"), PROMPTS)
def test_their_prompts_give_the_same_weights_here(
    prompts: dict[str, str], default: str | None, tiny_mlm_folder: Path, tmp_path: Path
) -> None:
    library = pytest.importorskip("sentence_transformers", reason="needs the bench extra")
    with folder_tools.quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"prompts": prompts, "default_prompt_name": default, "device": "cpu"}
        library.SparseEncoder(str(tiny_mlm_folder), **options).save(str(tmp_path / "theirs"))
        ours = SparseEncoder.from_pretrained(tmp_path / "theirs")
        ours.save_pretrained(tmp_path / "ours")
        for folder in (tmp_path / "theirs", tmp_path / "ours"):
            theirs = library.SparseEncoder(str(folder), device="cpu")
            for mine, other in (
                (ours.encode_queries(QUERIES), theirs.encode_query(QUERIES)),
                (ours.encode_documents(DOCUMENTS), theirs.encode_document(DOCUMENTS)),
            ):
                torch.testing.assert_close(mine.dense(ours.width), other.to_dense(), atol=1e-5, rtol=0)

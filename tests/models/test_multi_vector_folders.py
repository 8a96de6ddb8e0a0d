"""Prompts and expansions that sentence-transformers' multi-vector encoders hold, and those that they do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import ColBERT
from rankgrad.tokens import LateInteractionRules

RULES = LateInteractionRules(query_length=8, document_length=24)
# "list" is a word of the vocabulary, "listing" falls apart into letters.
DOCUMENTS = ["listing a list", "open a file", "enlist"]


@pytest.mark.parametrize(
    ("prompt", "prefix"), [("list ", ""), ("open a ", ""), ("[Q] ", "[Q]"), ("[Q]", "[Q]"), ("[MASK]", "[MASK]")]
)
def test_prompts_come_back_however_often(prompt: str, prefix: str, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    rules = replace(RULES, query_prompt=prompt)
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=8)
    with torch.no_grad():
        wanted = model.score(["a listing"], model.encode_documents(DOCUMENTS))
        for place in range(3):
            model.save_pretrained(tmp_path / str(place), layout="sentence-transformers")
            model = ColBERT.from_pretrained(tmp_path / str(place))
            assert (model.rules.query_prefix, model.rules.query_prompt) == (prefix, "" if prefix else prompt)
            torch.testing.assert_close(model.score(["a listing"], model.encode_documents(DOCUMENTS)), wanted)


def test_an_expansion_beyond_the_cut_has_no_place(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    rules = replace(RULES, expansion_length=12)
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=8)
    message = (
        "expansion_length=12 above query_length=8 has no place in the MultiVectorEncoder layout: save with layout="
    )
    with pytest.raises(InputError, match=message):
        model.save_pretrained(tmp_path / "model", layout="sentence-transformers")
    assert list(tmp_path.iterdir()) == []
    model.save_pretrained(tmp_path / "model", layout="rankgrad")
    assert ColBERT.from_pretrained(tmp_path / "model").rules == rules
    # Where queries are not expanded the length says nothing.
    plain = ColBERT.from_pretrained(tiny_encoder_folder, rules=replace(rules, query_expansion=False), dim=8)
    plain.save_pretrained(tmp_path / "plain", layout="sentence-transformers")
    assert ColBERT.from_pretrained(tmp_path / "plain").rules.query_length == 8

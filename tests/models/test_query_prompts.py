"""A cross-encoder whose queries have a prompt before them, and the lengths that a folder tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.models import CrossEncoder, _saved_modules
from rankgrad.tokens import PairTokenizer

QUERIES = ["return the number of items", "open a file"]
DOCUMENTS = ["a list, and its items.", "open a file and read its lines"]
SETTINGS = "config_sentence_transformers.json"


@pytest.fixture
def folder(tiny_encoder_folder: Path, tmp_path: Path) -> Path:
    """A classifier of another library's, with a prompt that nobody uses unless it is named."""
    torch.manual_seed(0)
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls", max_length=40, query_length=16)
    model.backbone.classifier.weight.data *= 100  # type: ignore[union-attr, operator]
    model.save_pretrained(tmp_path / "theirs", layout="sentence-transformers")
    (tmp_path / "theirs" / "rankgrad_model.json").unlink()
    change(tmp_path / "theirs" / SETTINGS, prompts={"web": "find: "})
    return tmp_path / "theirs"


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_default_prompt_is_put_before_each_query(folder: Path) -> None:
    plain = CrossEncoder.from_pretrained(folder)
    expected = plain.score(["find: " + query for query in QUERIES], DOCUMENTS)
    assert (expected - plain.score(QUERIES, DOCUMENTS)).abs().min() > 1e-4
    change(folder / SETTINGS, default_prompt_name="web")
    model = CrossEncoder.from_pretrained(folder)
    torch.testing.assert_close(model.score(QUERIES, DOCUMENTS), expected)
    without = CrossEncoder.from_pretrained(folder, query_prompt="")
    torch.testing.assert_close(without.score(QUERIES, DOCUMENTS), plain.score(QUERIES, DOCUMENTS))
    settings = model.tokenizer.settings()
    assert settings["query_prompt"] == "find: "
    bundled = PairTokenizer(model.text_tokenizer.backend_tokenizer, **settings)
    assert (bundled(QUERIES, DOCUMENTS).input_ids == model.tokenizer(QUERIES, DOCUMENTS).input_ids).all()


def test_its_tokens_do_not_count_in_the_length_of_a_query(folder: Path) -> None:
    short = CrossEncoder.from_pretrained(folder, query_length=2, query_prompt="find: ")
    plain = CrossEncoder.from_pretrained(folder)
    ids = short.tokenizer(["open a file"], ["x"]).input_ids[0].tolist()
    assert ids == plain.tokenizer(["find: open a"], ["x"]).input_ids[0].tolist()
    with pytest.raises(InputError, match=r"query_length=36 and \d special tokens and those of query_prompt"):
        CrossEncoder.from_pretrained(folder, query_length=36, query_prompt="find: ")


@pytest.mark.parametrize(
    ("prompt", "prompts", "name"),
    [
        ("find: ", {"web": "find: "}, "web"),
        ("ask: ", {"web": "find: ", "query": "ask: "}, "query"),
        ("", {"web": "find: "}, None),
    ],
)
def test_it_is_written_under_a_name(
    folder: Path, tmp_path: Path, prompt: str, prompts: dict[str, str], name: str | None
) -> None:
    change(folder / SETTINGS, default_prompt_name="web")
    model = CrossEncoder.from_pretrained(folder, query_prompt=prompt)
    model.save_pretrained(tmp_path / "ours", layout="sentence-transformers")
    saved = json.loads((tmp_path / "ours" / SETTINGS).read_text())
    assert (saved["prompts"], saved["default_prompt_name"]) == (prompts, name)
    assert CrossEncoder.from_pretrained(tmp_path / "ours").tokenizer.settings() == model.tokenizer.settings()


def test_a_prompt_of_a_head_of_our_own(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, query_prompt="ask: ")
    model.save_pretrained(tmp_path / "ours")
    again = CrossEncoder.from_pretrained(tmp_path / "ours")
    assert again.tokenizer.query_prompt == "ask: "
    torch.testing.assert_close(again.score(QUERIES, DOCUMENTS), model.score(QUERIES, DOCUMENTS))


@pytest.mark.parametrize(
    ("config", "longest"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514}, 512),
    ],
)
def test_positions_behind_the_padding_are_not_for_texts(tmp_path: Path, config: dict[str, Any], longest: int) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert _saved_modules.longest(str(tmp_path)) == longest

"""A tokenizer that makes ids without an embedding is refused, whatever the model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError
from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.tokens import LateInteractionRules


@pytest.fixture
def tokenizers(
    tiny_encoder_folder: Path, tiny_mlm_folder: Path, tiny_decoder_folder: Path, tmp_path: Path
) -> dict[str, Path]:
    """Folders in which the tokenizer has one more token than the model has embeddings."""
    sources = {"encoder": tiny_encoder_folder, "mlm": tiny_mlm_folder, "decoder": tiny_decoder_folder}
    folders = {}
    for name, source in sources.items():
        folders[name] = Path(shutil.copytree(source, tmp_path / name))
        rows = json.loads((source / "config.json").read_text())["vocab_size"]
        path = folders[name] / "tokenizer.json"
        tokenizer = json.loads(path.read_text())
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        held = max([*tokenizer["model"]["vocab"].values(), *(each["id"] for each in tokenizer["added_tokens"])]) + 1
        more = [{"id": place, "content": f"[more{place}]", **flags} for place in range(held, rows + 1)]
        tokenizer["added_tokens"] += more
        path.write_text(json.dumps(tokenizer))
    return folders


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        (DenseEncoder, "encoder", {}),
        (SparseEncoder, "mlm", {}),
        (CrossEncoder, "encoder", {}),
        (CrossEncoder, "encoder", {"head": "cls"}),
        (CausalReranker, "decoder", {"head": "linear"}),
        (ColBERT, "encoder", {}),
        (ColBERT, "encoder", {"rules": LateInteractionRules(query_prefix="[new]", document_prefix="[newer]")}),
    ],
)
def test_both_numbers_are_named(kind: Any, name: str, options: dict[str, Any], tokenizers: dict[str, Path]) -> None:
    rows = json.loads((tokenizers[name] / "config.json").read_text())["vocab_size"]
    with pytest.raises(InputError, match=rf"the tokenizer has {rows + 1} ids and the encoder {rows} embeddings"):
        kind.from_pretrained(tokenizers[name], **options)


def test_markers_get_embeddings(tiny_encoder_folder: Path, tokenizers: dict[str, Path]) -> None:
    rules = LateInteractionRules(query_prefix="[new]", document_prefix="[newer]")
    model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=8)
    assert model.backbone.get_input_embeddings().num_embeddings == len(model.text_tokenizer)  # type: ignore[operator]
    rows = json.loads((tokenizers["encoder"] / "config.json").read_text())["vocab_size"]
    # A marker that the tokenizer has and the encoder lacks is given one with the other.
    rules = LateInteractionRules(query_prefix=f"[more{rows}]", document_prefix="[newer]")
    assert ColBERT.from_pretrained(tokenizers["encoder"], rules=rules, dim=8).encode_queries(["a file"])

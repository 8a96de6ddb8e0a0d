"""Lengths without room for a text are refused where the model is made, not taken for a default."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError
from rankgrad.models import CausalReranker, ColBERT, CrossEncoder, DenseEncoder, SparseEncoder
from rankgrad.prompts import PromptTemplate
from rankgrad.tokens import LateInteractionRules

SHORT = PromptTemplate(before="", body="{query} {document}", after="", instruction="", yes="a", no="file")
RULES = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_expansion=False)


@pytest.mark.parametrize("side", ["query_length", "document_length"])
@pytest.mark.parametrize("length", [3, 1, 0, -1])
def test_of_a_colbert(side: str, length: int, tiny_encoder_folder: Path) -> None:
    message = rf"{side}={length} leaves no room for text beside 3 special tokens: give 4 or more"
    with pytest.raises(InputError, match=message):
        ColBERT.from_pretrained(tiny_encoder_folder, rules=replace(RULES, **{side: length}), dim=8)
    ColBERT.from_pretrained(tiny_encoder_folder, rules=replace(RULES, **{side: 4}), dim=8).encode_documents(["a file"])


@pytest.mark.parametrize("length", [0, -1])
def test_of_an_expansion(length: int, tiny_encoder_folder: Path) -> None:
    with pytest.raises(InputError, match=f"expansion_length={length}: give 1 or more"):
        ColBERT.from_pretrained(tiny_encoder_folder, rules=LateInteractionRules(expansion_length=length))


@pytest.mark.parametrize("kind", [DenseEncoder, SparseEncoder])
@pytest.mark.parametrize("side", ["query_length", "document_length"])
@pytest.mark.parametrize("length", [2, 1, 0, -5])
def test_of_one_text(kind: Any, side: str, length: int, tiny_encoder_folder: Path, tiny_mlm_folder: Path) -> None:
    folder = tiny_mlm_folder if kind is SparseEncoder else tiny_encoder_folder
    with pytest.raises(InputError, match=f"{side}={length} leaves no room"):
        kind.from_pretrained(folder, **{side: length})
    assert kind.from_pretrained(folder, **{side: 3}).encode_queries(["open a file"]) is not None


@pytest.mark.parametrize("side", ["query_length", "max_length"])
@pytest.mark.parametrize("length", [0, -5])
def test_of_a_pair(side: str, length: int, tiny_encoder_folder: Path, tiny_decoder_folder: Path) -> None:
    with pytest.raises(InputError, match=f"{side}={length}.*no room|no room.*{side}={length}"):
        CrossEncoder.from_pretrained(tiny_encoder_folder, **{side: length})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=f"{side}={length}.*no room|no room.*{side}={length}"):
        CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, **{side: length})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", ["compress_layer", "compress_ratio"])
def test_of_a_compression(option: str, tiny_encoder_folder: Path) -> None:
    with pytest.raises(InputError, match=f"{option}=0"):
        CrossEncoder.from_pretrained(tiny_encoder_folder, head="cls", **{option: 0})  # type: ignore[arg-type]


def test_updates_and_neighbours(tiny_encoder_folder: Path, tiny_decoder_folder: Path) -> None:
    with pytest.raises(InputError, match=r"lora_alpha=3 .* without lora_rank"):
        CausalReranker.from_pretrained(tiny_decoder_folder, template=SHORT, lora_alpha=3)
    for count in (0, -1):
        with pytest.raises(InputError, match=f"xtr_top_k={count}: score by at least 1"):
            ColBERT.from_pretrained(tiny_encoder_folder, xtr_top_k=count)
        with pytest.raises(InputError, match=f"dim={count}: embeddings have a width of at least 1"):
            ColBERT.from_pretrained(tiny_encoder_folder, dim=count)

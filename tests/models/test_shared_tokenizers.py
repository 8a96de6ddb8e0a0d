"""A tokenizer that its owner calls between two scorings, with padding and cutting of its own, changes no score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad.models import CausalReranker, ColBERT, CrossEncoder
from rankgrad.prompts import PromptTemplate

QUERIES, DOCUMENTS = ["sort a list", "open"], ["sort the values of a list by key", "open a file and read its lines"]
SHORT = PromptTemplate(before="", body="{query} {document}", after="", instruction="", yes="a", no="file")
KINDS: dict[str, Callable[[Path, Path], Any]] = {
    "pairs": lambda encoder, decoder: CrossEncoder.from_pretrained(encoder),
    "late": lambda encoder, decoder: ColBERT.from_pretrained(encoder),
    "prompts": lambda encoder, decoder: CausalReranker.from_pretrained(decoder, template=SHORT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_calls_of_the_tokenizer_change_no_score(
    kind: str, tiny_encoder_folder: Path, tiny_decoder_folder: Path
) -> None:
    model = KINDS[kind](tiny_encoder_folder, tiny_decoder_folder).eval()

    def score() -> torch.Tensor:
        documents = model.encode_documents(DOCUMENTS) if isinstance(model, ColBERT) else DOCUMENTS
        return model.score(QUERIES, documents)

    expected = score()
    padding = "max_length" if model.text_tokenizer.pad_token else False
    model.text_tokenizer(QUERIES, DOCUMENTS, padding=padding, truncation=True, max_length=9)
    assert model.text_tokenizer.backend_tokenizer.truncation is not None
    torch.testing.assert_close(score(), expected, atol=0, rtol=0)

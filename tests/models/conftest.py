"""Small models over the tiny encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankgrad.models import ColBERT, CrossEncoder
from rankgrad.tokens import LateInteractionRules


@pytest.fixture
def colbert(tiny_encoder_folder: Path) -> ColBERT:
    rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]", query_length=12, document_length=24)
    return ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16)


@pytest.fixture(params=["cls", "mean", "interaction"])
def cross_encoder(request: pytest.FixtureRequest, tiny_encoder_folder: Path) -> CrossEncoder:
    return CrossEncoder.from_pretrained(tiny_encoder_folder, head=request.param, max_length=32, query_length=10)

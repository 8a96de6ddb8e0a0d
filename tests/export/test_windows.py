"""A ColBERT on ModernBERT, whose layers with windows have tokens that no token within reach is read for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, ModernBertConfig, ModernBertModel

from rankgrad import deploy
from rankgrad.export import export_bundle
from rankgrad.models import ColBERT
from rankgrad.tokens import LateInteractionRules

QUERIES, DOCUMENTS = ["sort", "open a file"], ["sort the values of a list by key", "open a file", "x"]


def test_unread_expansion_and_padding_beyond_the_windows_score_as_in_torch(
    tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
    config = ModernBertConfig(
        vocab_size=len(tokenizer), pad_token_id=0, local_attention=8, global_attn_every_n_layers=2, hidden_size=16,
        num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    rules = LateInteractionRules(
        query_prefix="[Q]", document_prefix="[D]", query_length=32, document_length=40, attend_to_expansion=False
    )
    torch.manual_seed(0)
    model = ColBERT(ModernBertModel(config), tokenizer, rules=rules, dim=8).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        expected = model.score(QUERIES, model.encode_documents(DOCUMENTS))
        model.backbone.set_attn_implementation("eager")  # type: ignore[operator]
        # Plain attention reads all tokens alike where there is none to read.
        assert (model.score(QUERIES, model.encode_documents(DOCUMENTS)) - expected).abs().max() > 1e-3
        model.backbone.set_attn_implementation("sdpa")  # type: ignore[operator]
    export_bundle(model, tmp_path / "bundle", variants=(), one_graph=True)
    bundle = deploy.load(tmp_path / "bundle")
    for query, scores in zip(QUERIES, expected, strict=True):
        found = {each.index: each.score for each in bundle.rerank(query, DOCUMENTS)}  # type: ignore[union-attr]
        assert [found[row] for row in range(3)] == pytest.approx(scores.tolist(), abs=1e-4)

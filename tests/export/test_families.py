"""The graph of every family of encoders agrees with torch on 200 random shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    ModernBertConfig,
    XLMRobertaConfig,
)

from rankgrad.export import export_onnx
from rankgrad.models import CrossEncoder

SIZE: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "num_labels": 1,
    "max_position_embeddings": 140,
}  # fmt: skip
FAMILIES: dict[str, Callable[[int], Any]] = {
    "bert": lambda words: BertConfig(vocab_size=words, **SIZE),
    "deberta-v2": lambda words: DebertaV2Config(
        vocab_size=words, relative_attention=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
        type_vocab_size=0, position_buckets=16, norm_rel_ebd="layer_norm", share_att_key=True, **SIZE,
    ),
    "electra": lambda words: ElectraConfig(vocab_size=words, embedding_size=8, **SIZE),
    "modernbert": lambda words: ModernBertConfig(
        vocab_size=words, pad_token_id=0, local_attention=8, global_attn_every_n_layers=2, **SIZE
    ),
    "xlm-roberta": lambda words: XLMRobertaConfig(vocab_size=words, pad_token_id=0, type_vocab_size=1, **SIZE),
}  # fmt: skip
SHAPES, LONGEST = 200, 128


@pytest.mark.parametrize("family", FAMILIES)
def test_two_hundred_shapes(family: str, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
    torch.manual_seed(0)
    backbone = AutoModelForSequenceClassification.from_config(FAMILIES[family](len(tokenizer)))
    with torch.no_grad():
        for weight in backbone.parameters():
            # Fresh weights are so small that a dropped mask would hide within the tolerance.
            weight.add_(0.1 * torch.randn_like(weight))
    model = CrossEncoder(backbone, tokenizer, head="cls", max_length=LONGEST).eval()
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    names = {each.name for each in session.get_inputs()}
    draw = np.random.default_rng(0)
    moved = []
    for _ in range(SHAPES):
        batch, tokens = int(draw.integers(1, 9)), int(draw.integers(2, LONGEST + 1))
        lengths = np.append(tokens, draw.integers(2, tokens + 1, batch - 1))[:, None]
        mask = (np.arange(tokens) < lengths).astype(np.int64)
        ids = draw.integers(7, len(tokenizer), (batch, tokens)) * mask
        segments = (np.arange(tokens) >= lengths // 2).astype(np.int64) * mask
        rows = {"input_ids": ids, "attention_mask": mask, "token_type_ids": segments}
        with torch.inference_mode():
            expected = model.forward_tokens(**{name: torch.from_numpy(each) for name, each in rows.items()}).numpy()
        found = session.run(None, {name: rows[name] for name in names})[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5, err_msg=f"{batch} x {tokens}")
        unmasked = session.run(
            None, {name: np.ones_like(mask) if name == "attention_mask" else rows[name] for name in names}
        )
        moved.append(float(np.abs(unmasked[0] - found).max()))
    # The comparison would have seen a mask that is not read.
    assert np.mean(np.array(moved) > 1e-3) > 0.5

"""Heads of cross-encoders: precisions, and states of older files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad.models import CrossEncoder
from rankgrad.modules.cross_attention import CrossAttentionBias
from rankgrad.modules.score_head import InteractionHead, MeanHead

QUERIES, DOCUMENTS = ["sort a list"] * 2, ["open a file", "sort the values of a list by key"]


@pytest.mark.parametrize("options", [{}, {"listwise": True}, {"exits": [1]}, {"padding": "grouped"}], ids=str)
@pytest.mark.parametrize("head", ["interaction", "mean", "cls"])
def test_weights_of_any_floating_type_score_in_float32(tiny_encoder_folder: Path, head: Any, options: Any) -> None:
    model = CrossEncoder.from_pretrained(tiny_encoder_folder, head=head, **options).eval()
    with torch.inference_mode():
        expected = model.score(QUERIES, DOCUMENTS)
        half, double = model.bfloat16().score(QUERIES, DOCUMENTS), model.double().score(QUERIES, DOCUMENTS)
    assert expected.dtype == half.dtype == double.dtype == torch.float32
    torch.testing.assert_close(half, expected, atol=0.05, rtol=0.02)


@pytest.mark.parametrize(
    "module", [MeanHead(4), InteractionHead(4), CrossAttentionBias()], ids=lambda m: type(m).__name__
)
def test_a_number_without_an_axis_is_read(module: torch.nn.Module) -> None:
    name = "bias" if isinstance(module, CrossAttentionBias) else "scale"
    module.load_state_dict({**module.state_dict(), name: torch.tensor(2.5)})
    assert module.get_parameter(name).tolist() == [2.5]


@pytest.mark.parametrize("head", ["interaction", "mean"])
def test_autocast_makes_no_ties(head: Any) -> None:
    module = {"interaction": InteractionHead, "mean": MeanHead}[head](8)
    torch.nn.init.normal_(module.cls.weight)
    hidden = torch.randn(64, 5, 8)
    side = torch.tensor([False, True, True, False, False]).expand(64, -1)
    expected = module(hidden, side, ~side)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = module(hidden, side, ~side)
    torch.testing.assert_close(scores, expected)
    assert len(scores.unique()) == 64

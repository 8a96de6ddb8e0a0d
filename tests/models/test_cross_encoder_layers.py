"""Scores behind earlier layers, and documents made shorter on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertModel,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    LongformerConfig,
    LongformerModel,
    ModernBertConfig,
    ModernBertModel,
)

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.losses import EarlyExitLoss, SoftmaxLoss
from rankgrad.models import CrossEncoder
from rankgrad.modules.encoder_layers import layers_of
from rankgrad.modules.packing import Layout, PackedSides
from rankgrad.modules.token_merge import merge_tokens

QUERY = "return the number of items"
DOCUMENTS = ["a list, and its items.", "open a file and read its lines", "join several strings", "x"]
SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}


def model_of(folder: Path, family: str = "bert", **options: Any) -> CrossEncoder:
    options = {"max_length": 40, "query_length": 12, **options}
    if family == "bert":
        return shaken(CrossEncoder.from_pretrained(folder, **options))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if family == "modernbert":
        config = ModernBertConfig(vocab_size=len(tokenizer), pad_token_id=0, local_attention=8, **SIZE)
        return shaken(CrossEncoder(ModernBertModel(config), tokenizer, **options))
    size: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "num_labels": 1, **SIZE}
    backbone = DebertaV2ForSequenceClassification(DebertaV2Config(vocab_size=len(tokenizer), **size))
    return shaken(CrossEncoder(backbone, tokenizer, **options))


def shaken(model: CrossEncoder) -> CrossEncoder:
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def score(model: CrossEncoder, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.score([QUERY] * len(DOCUMENTS), DOCUMENTS, **options)


def calls_of(model: CrossEncoder) -> list[int]:
    """Which layers run, as they do."""
    seen: list[int] = []
    for number, layer in enumerate(layers_of(model.encoder.inner)[1]):
        layer.register_forward_hook(lambda *_, number=number: seen.append(number))
    return seen


def without_dropout(model: CrossEncoder) -> CrossEncoder:
    """In training the same numbers as in evaluation."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize(("family", "head"), [("modernbert", "mean"), ("deberta", "cls")])
def test_an_exit_skips_the_layers_behind_it(tiny_encoder_folder: Path, family: str, head: str) -> None:
    model = without_dropout(model_of(tiny_encoder_folder, family, exits=(1, 3), head=head))
    seen = calls_of(model)
    whole, early = score(model, token_budget=1000), score(model, exit_layer=1, token_budget=1000)
    passes = seen.count(3)
    assert sorted(seen) == sorted([0, 1, 2, 3] * passes + [0] * passes)
    assert (whole - early).abs().max() > 1e-3
    batch = ListCollate(model.tokenizer)([CandidateList(QUERY, tuple(DOCUMENTS), (1.0, 0.0, 0.0, 0.0))])
    together = model.train()(batch.features)
    model.eval()
    for row, layer in enumerate((1, 3, 4)):
        expected = score(model, exit_layer=layer)
        torch.testing.assert_close(together[row, 0].detach(), expected, atol=1e-5, rtol=1e-5)
    assert together.shape == (3, 1, 4)
    with torch.no_grad():
        assert model(batch.features).shape == (1, 4)


@pytest.mark.parametrize("padding", ["packed", "grouped"])
@pytest.mark.parametrize("head", ["cls", "interaction"])
def test_exits_learn_and_are_saved(tiny_encoder_folder: Path, tmp_path: Path, head: str, padding: str) -> None:
    model = without_dropout(model_of(tiny_encoder_folder, head=head, exits=(1,), padding=padding))
    batch = ListCollate(model.tokenizer)([CandidateList(QUERY, tuple(DOCUMENTS), (1.0, 0.0, 0.0, 0.0))])
    loss = EarlyExitLoss(SoftmaxLoss())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    model.train()
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        found = loss(model(batch.features), batch.labels, batch.mask)
        found.backward()
        optimizer.step()
        losses.append(float(found.detach()))
    assert sum(losses[-2:]) < sum(losses[:2])
    model.eval()
    model.save_pretrained(tmp_path / "model")
    again = CrossEncoder.from_pretrained(tmp_path / "model", padding="grouped")
    for layer in (1, None):
        torch.testing.assert_close(score(again, exit_layer=layer), score(model, exit_layer=layer), atol=1e-5, rtol=1e-5)
    without = CrossEncoder.from_pretrained(tmp_path / "model", exits=())
    torch.testing.assert_close(score(without), score(model), atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="exit_layer=1 has no head: choose one of 2"):
        score(without, exit_layer=1)


def test_saved_exits_are_kept_among_other_ones(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
    config = BertConfig(vocab_size=len(tokenizer), **SIZE)
    model = shaken(CrossEncoder(BertModel(config), tokenizer, max_length=40, query_length=12, exits=(1, 2)))
    model.save_pretrained(tmp_path / "model")
    for exits in ((2,), (1, 2, 3), (2, 3)):
        other = CrossEncoder.from_pretrained(tmp_path / "model", exits=exits)
        torch.testing.assert_close(score(other, exit_layer=2), score(model, exit_layer=2), atol=1e-5, rtol=1e-5)


def test_encoders_whose_attention_takes_no_bias_have_the_cls_head_alone(tiny_encoder_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
    encoder = LongformerModel(LongformerConfig(vocab_size=len(tokenizer), attention_window=4, **SIZE))
    with pytest.raises(InputError, match="head='interaction' adds to attention scores, which longformer does not"):
        CrossEncoder(encoder, tokenizer)


def test_the_view_runs_no_compiled_original(tiny_encoder_folder: Path) -> None:
    model = model_of(tiny_encoder_folder, exits=(1,))
    early = score(model, exit_layer=1)
    model.backbone._compiled_call_impl = lambda *_, **__: pytest.fail("the whole encoder ran")
    assert not model.packs
    torch.testing.assert_close(score(model, exit_layer=1), early, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exits": (2,)}, "rising numbers from 1 to 1"),
        ({"exits": (1, 1)}, "rising numbers"),
        ({"compress_layer": 2}, "compress_layer=2: choose from 1 to 1"),
        ({"compress_layer": 1, "compress_ratio": -1}, "compress_ratio=-1"),
        ({"compress_layer": 1, "padding": "grouped"}, "leave out padding='grouped'"),
        ({"padding": "flat"}, "choose auto, packed or grouped"),
    ],
)
def test_options_that_cannot_be(tiny_encoder_folder: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CrossEncoder.from_pretrained(tiny_encoder_folder, **options)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_compression_by_one_changes_nothing_by_two_leaves_fewer_tokens(tiny_encoder_folder: Path, family: str) -> None:
    torch.manual_seed(0)
    plain = model_of(tiny_encoder_folder, family)
    torch.manual_seed(0)
    same = model_of(tiny_encoder_folder, family, compress_layer=1, compress_ratio=1)
    torch.manual_seed(0)
    shorter = model_of(tiny_encoder_folder, family, compress_layer=1, compress_ratio=2)
    for other in (same, shorter):
        other.load_state_dict(plain.state_dict())
    torch.testing.assert_close(score(same), score(plain), atol=1e-5, rtol=1e-5)
    widths: list[int] = []
    for layer in layers_of(shorter.encoder.inner)[1]:
        layer.register_forward_hook(lambda _, __, output: widths.append(output.shape[1]))
    assert (score(shorter) - score(plain)).abs().max() > 1e-4
    lengths = shorter.tokenizer([QUERY] * 4, DOCUMENTS).lengths
    # [CLS], five words and [SEP] of the query, [SEP] of the document: eight tokens stay; of the rest, half.
    left = int((8 + -(-(lengths - 8) // 2)).sum())
    assert widths == [int(lengths.sum()), *[left] * (len(widths) - 1)]
    loss = shorter.train().score([QUERY] * 4, DOCUMENTS).diff().square().sum()
    loss.backward()
    gradients = [p.grad for p in shorter.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_compression_is_saved_and_gives_way_to_an_earlier_exit(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    options = {"compress_layer": 2, "compress_ratio": 3, "exits": (1, 3)}
    model = model_of(tiny_encoder_folder, "modernbert", **options)
    batch = ListCollate(model.tokenizer)([CandidateList(QUERY, tuple(DOCUMENTS), (1.0, 0.0, 0.0, 0.0))])
    together = model.train()(batch.features)[:, 0].detach()
    model.eval()
    for row, layer in enumerate((1, 3, 4)):
        torch.testing.assert_close(score(model, exit_layer=layer), together[row], atol=1e-5, rtol=1e-5)
    model.save_pretrained(tmp_path / "model")
    again = CrossEncoder.from_pretrained(tmp_path / "model")
    assert again.options == model.options
    torch.testing.assert_close(score(again), score(model), atol=1e-5, rtol=1e-5)


def test_merged_tokens_are_weighted_means_of_their_documents() -> None:
    #            [CLS]  q      [SEP]  d     d     d     [SEP]   of the first pair, then a pair with one document word
    document = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1]).bool()
    words = torch.tensor([0, 1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0]).bool()
    sides = PackedSides(Layout((7, 5), document.device), document, words)
    hidden = torch.randn(12, 3, requires_grad=True)
    weights = torch.tensor([0.0, 0, 0, 3, 1, 5, 0, 0, 0, 0, 0, 0])
    merged = merge_tokens(hidden, weights, sides, ratio=2)
    expected = hidden[torch.tensor([0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11])].clone()
    expected[3] = (3 * hidden[3] + hidden[4]) / 4
    torch.testing.assert_close(merged.hidden, expected)
    assert merged.sides.layout.lengths == (6, 5)
    assert merged.sides.words.tolist() == words[merged.kept].tolist()
    nothing = merge_tokens(hidden, torch.zeros(12), sides, ratio=3)
    torch.testing.assert_close(nothing.hidden[3], hidden[3:6].mean(0))
    nothing.hidden.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def test_parts_are_found_by_name(tiny_encoder_folder: Path) -> None:
    model = model_of(tiny_encoder_folder, exits=(1,))
    assert isinstance(model.exit_heads["1"], nn.Module)
    assert {name.split(".")[0] for name in model.own.state_dict()} == {"head", "across", "exits"}

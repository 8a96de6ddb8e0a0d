"""Packed batches give the scores and gradients of padded ones, on every family of encoders that can be packed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, ListCollate
from rankgrad.losses import SoftmaxLoss
from rankgrad.models import CrossEncoder
from rankgrad.modules.packed_attention import PackedAttention, by_padding, by_runs
from rankgrad.modules.packing import Layout, PackedSides
from rankgrad.modules.text_encoder import TextEncoder

QUERIES = ["return the number of items", "open a file", "open a file", "sort the values of a dictionary by key", "x y"]
DOCUMENTS = ["a list, and its items.", "read its lines " * 4, "x", "join several strings with a separator", "raise it"]
WIDE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
# A window of 3 to either side is far shorter than the texts; the first and third layer see everything.
WINDOW: dict[str, Any] = {"local_attention": 6, "global_attn_every_n_layers": 2}
FAMILIES: dict[str, Callable[[int], PreTrainedConfig]] = {
    "bert": lambda size: BertConfig(vocab_size=size, **WIDE),
    "roberta": lambda size: RobertaConfig(vocab_size=size, pad_token_id=0, type_vocab_size=1, **WIDE),
    "xlm-roberta": lambda size: XLMRobertaConfig(vocab_size=size, pad_token_id=0, type_vocab_size=1, **WIDE),
    "camembert": lambda size: CamembertConfig(vocab_size=size, pad_token_id=0, type_vocab_size=1, **WIDE),
    "electra": lambda size: ElectraConfig(vocab_size=size, embedding_size=8, **WIDE),
    "distilbert": lambda size: DistilBertConfig(vocab_size=size, dim=16, n_layers=3, n_heads=2, hidden_dim=32),
    "modernbert": lambda size: ModernBertConfig(vocab_size=size, pad_token_id=0, **WINDOW, **WIDE),
    "modernbert mean": lambda size: ModernBertConfig(
        vocab_size=size, pad_token_id=0, classifier_pooling="mean", **WINDOW, **WIDE
    ),
}


@pytest.fixture
def make(tiny_encoder_folder: Path) -> Callable[..., CrossEncoder]:
    """Makes a cross-encoder of a family; ``padding`` and other options as in its class."""

    def build(family: str, head: str, **options: Any) -> CrossEncoder:
        tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
        config = FAMILIES[family](len(tokenizer))
        config.num_labels = 1
        kind = AutoModelForSequenceClassification if head == "cls" else AutoModel
        torch.manual_seed(0)
        backbone = kind.from_config(config)
        for parameter in backbone.parameters():
            # Fresh weights are so small that every score is nearly the same.
            parameter.data.add_(0.3 * torch.randn_like(parameter))
        return CrossEncoder(backbone, tokenizer, head=head, max_length=48, query_length=12, **options).eval()  # type: ignore[arg-type]

    return build


def scores_of(model: CrossEncoder, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.score(QUERIES, DOCUMENTS, **options)


@pytest.mark.parametrize("head", ["cls", "interaction"])
@pytest.mark.parametrize("family", list(FAMILIES))
def test_scores_and_gradients_are_those_of_padded_batches(
    make: Callable[..., CrossEncoder], family: str, head: str
) -> None:
    packed = make(family, head, padding="packed").train()
    packed.encoder.eval()  # without dropout
    padded = copy.deepcopy(packed)
    padded.padding = "grouped"
    found = packed.score(QUERIES, DOCUMENTS)
    expected = padded.score(QUERIES, DOCUMENTS, batch_size=5)
    assert expected.std() > 0.01
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn(len(QUERIES))
    (found @ weights).backward()
    (expected @ weights).backward()
    for (name, one), other in zip(packed.named_parameters(), padded.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None), name
        if one.grad is not None and other.grad is not None:
            torch.testing.assert_close(one.grad, other.grad, atol=2e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_padded_batches_are_what_transformers_itself_gives(make: Callable[..., CrossEncoder]) -> None:
    model = make("modernbert", "cls", padding="grouped")
    tokens = model.tokenizer(QUERIES, DOCUMENTS)
    ids, mask = torch.from_numpy(tokens.input_ids), torch.from_numpy(tokens.attention_mask)
    plain = copy.deepcopy(model.backbone)
    plain.set_attn_implementation("eager")  # type: ignore[operator]
    with torch.no_grad():
        expected = plain(input_ids=ids, attention_mask=mask).logits.squeeze(-1)
    torch.testing.assert_close(scores_of(model), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("padding", ["packed", "grouped"])
def test_batches_by_rows_and_by_tokens_do_not_matter(make: Callable[..., CrossEncoder], padding: str) -> None:
    model = make("bert", "interaction", padding=padding)
    expected = scores_of(model)
    for options in (
        {"batch_size": 2},
        {"token_budget": 1},
        {"token_budget": 40},
        {"batch_size": 3, "token_budget": 60},
    ):
        torch.testing.assert_close(scores_of(model, **options), expected, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="token_budget=0"):
        scores_of(model, token_budget=0)


def test_a_packed_batch_trains(make: Callable[..., CrossEncoder]) -> None:
    lists = [CandidateList(QUERIES[0], tuple(DOCUMENTS[:3]), (1.0, 0.0, 0.0)), CandidateList("x", ("y",), (1.0,))]
    model = make("bert", "cls", padding="packed").train()
    batch = ListCollate(model.tokenizer, token_budget=64)(lists)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(8):
        loss = SoftmaxLoss()(model(batch.features), batch.labels, batch.mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-2:]) < sum(losses[:2])


def test_half_precision_and_gradient_checkpointing(make: Callable[..., CrossEncoder]) -> None:
    model = make("modernbert", "interaction", padding="packed")
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        half = model.score(QUERIES, DOCUMENTS)
    torch.testing.assert_close(half, scores_of(model), atol=0.1, rtol=0.05)
    model.train().encoder.eval()
    model.score(QUERIES, DOCUMENTS).sum().backward()
    expected = model.backbone.layers[0].attn.Wqkv.weight.grad  # type: ignore[union-attr, index]
    again = make("modernbert", "interaction", padding="packed").train()
    again.backbone.activation_checkpointing_enable()  # type: ignore[operator]
    again.score(QUERIES, DOCUMENTS).sum().backward()
    found = again.backbone.layers[0].attn.Wqkv.weight.grad  # type: ignore[union-attr, index]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_deberta_is_grouped_and_says_why(tiny_encoder_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folder)
    config = DebertaV2Config(vocab_size=len(tokenizer), relative_attention=True, pos_att_type=["p2c", "c2p"], **WIDE)
    config.num_labels = 1
    backbone = AutoModelForSequenceClassification.from_config(config)
    options = {"head": "cls", "max_length": 48, "query_length": 12}
    assert not CrossEncoder(backbone, tokenizer, **options).packs  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"padding='packed' needs an encoder .* this is deberta-v2"):
        CrossEncoder(backbone, tokenizer, padding="packed", **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="head='mean' adds to attention scores"):
        CrossEncoder(backbone.base_model, tokenizer, **{**options, "head": "mean"})  # type: ignore[arg-type]


def test_attention_chosen_by_hand_is_kept(make: Callable[..., CrossEncoder]) -> None:
    model = make("bert", "cls")
    assert model.packs
    before = scores_of(model)
    model.backbone.set_attn_implementation("eager")  # type: ignore[operator]
    assert not model.packs
    torch.testing.assert_close(scores_of(model), before, atol=1e-5, rtol=0)


def test_a_pickled_model_and_a_saved_one(make: Callable[..., CrossEncoder], tmp_path: Path) -> None:
    model = make("bert", "cls", padding="packed")
    torch.testing.assert_close(scores_of(pickle.loads(pickle.dumps(model))), scores_of(model))
    model.save_pretrained(tmp_path / "model")
    assert "rankgrad" not in (tmp_path / "model" / "config.json").read_text()
    torch.testing.assert_close(scores_of(CrossEncoder.from_pretrained(tmp_path / "model")), scores_of(model))


@pytest.mark.parametrize("listwise", [False, True])
@pytest.mark.parametrize("window", [None, 3])
def test_the_way_of_a_gpu_gives_the_same(window: int | None, listwise: bool) -> None:
    layout = Layout((5, 5, 3, 1), torch.device("cpu"))
    side = torch.rand(layout.total) < 0.5
    lists = torch.tensor([0, 1, 0, 0]) if listwise else None
    query, key, value = torch.randn(3, layout.total, 2, 8)
    packed = PackedAttention(PackedSides(layout, side, side), bias=torch.tensor(-1.5), lists=lists)
    options = {"dropout": 0.0, "scale": 0.3, "window": window}
    found = [way(query, key, value, packed, **options) for way in (by_runs, by_padding)]  # type: ignore[arg-type]
    torch.testing.assert_close(*found, atol=1e-6, rtol=1e-5)
    alone = query[5:10].transpose(0, 1) @ key[5:10].transpose(0, 1).mT * 0.3
    place = torch.arange(5)
    alone = alone + torch.where(side[5:10, None] != side[5:10], -1.5, 0.0)
    if window is not None:
        alone = alone.masked_fill((place[:, None] - place).abs() >= window, -torch.inf)
    # Sequence 1 has a list of its own, so it sees nothing but itself.
    torch.testing.assert_close(found[0][5:10].transpose(0, 1), alone.softmax(-1) @ value[5:10].transpose(0, 1))


def test_documents_can_be_packed_too(tiny_encoder_folder: Path) -> None:
    encoder = TextEncoder(AutoModel.from_pretrained(tiny_encoder_folder, add_pooling_layer=False)).eval()
    lengths = torch.tensor([9, 4, 4, 1])
    mask = (torch.arange(9) < lengths[:, None]).long()
    ids = torch.randint(5, 100, mask.shape)
    packed = PackedAttention(PackedSides.of_texts(Layout.of(mask)))
    with torch.no_grad():
        found = encoder.packed(ids[mask.bool()], packed, torch.zeros(18, dtype=torch.int64))[0].hidden
        torch.testing.assert_close(found, encoder(ids, mask)[mask.bool()], atol=1e-5, rtol=1e-5)


def test_dropout_acts_on_packed_attention(make: Callable[..., CrossEncoder]) -> None:
    model = make("bert", "cls", padding="packed")
    still = scores_of(model)
    for name, module in model.named_modules():
        if name.endswith("attention.self"):
            module.training = True
    torch.manual_seed(1)
    assert (scores_of(model) - still).abs().max() > 1e-4

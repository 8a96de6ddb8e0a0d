"""Fewer layers for most, fewer coordinates for most: the whole model in the limit, less work before it."""

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
    ModernBertConfig,
    ModernBertModel,
)

from rankgrad._checks import InputError
from rankgrad.models import CrossEncoder
from rankgrad.modules.encoder_layers import layers_of
from rankgrad.rerank import CrossEncoderReranker, LayerBudgetReranker
from rankgrad.types import Ranking

TEXTS = (
    "open a file and read its lines",
    "sort the values of a dictionary by key, and then some more words to make it long",
    "",
    "join strings",
    "parse a date from text",
    "a list of items",
)
QUERIES = ["sort a list", "read the lines of a file"]
MASK = torch.tensor([[True] * 6, [True, True, True, True, False, False]])
INCOMING = Ranking(
    torch.tensor([[3, 0, 5, 1, 4, 2], [2, 4, 0, 1, -1, -1]]),
    torch.tensor([[6.0, 5, 4, 3, 2, 1], [4.0, 3, 2, 1, 0, 0]]).masked_fill(~MASK, -torch.inf),
    MASK,
)
SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def model_of(folder: Path, family: str, **options: Any) -> CrossEncoder:
    options = {"max_length": 40, "query_length": 12, "exits": (1, 2), **options}
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = {"vocab_size": len(tokenizer), **SIZE}
    backbone: nn.Module
    if family == "deberta":
        # A convolution stands behind its first layer.
        shape: dict[str, Any] = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "conv_kernel_size": 3}
        backbone = DebertaV2ForSequenceClassification(DebertaV2Config(num_labels=1, **shape, **words))
        options["head"] = "cls"
    elif family == "modernbert":
        backbone = ModernBertModel(ModernBertConfig(pad_token_id=0, local_attention=8, **words))
    else:
        backbone = BertModel(BertConfig(**words))
    model = CrossEncoder(backbone, tokenizer, **options)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def rows_of(model: CrossEncoder) -> list[list[int]]:
    """How many tokens each layer reads, call by call."""
    seen: list[list[int]] = [[] for _ in range(model.encoder.depth)]
    for number, layer in enumerate(layers_of(model.encoder.inner)[1]):

        def count(module: nn.Module, given: tuple[Any, ...], *_: Any, number: int = number) -> None:
            seen[number].append(given[0].shape[0] * given[0].shape[1])

        layer.register_forward_hook(count)
    return seen


@pytest.mark.parametrize(
    ("family", "padding"),
    [("bert", "packed"), ("bert", "grouped"), ("modernbert", "packed"), ("modernbert", "grouped"), ("deberta", "auto")],
)
@pytest.mark.parametrize("exit_layer", [1, 2])
def test_the_whole_budget_is_the_whole_model(
    family: str, padding: Any, exit_layer: int, tiny_encoder_folder: Path
) -> None:
    model = model_of(tiny_encoder_folder, family, padding=padding)
    whole = CrossEncoderReranker(model, TEXTS, k=5, first_stage_weight=0.5)(QUERIES, INCOMING)
    options: dict[str, Any] = {"exit_layer": exit_layer, "k": 5, "first_stage_weight": 0.5}
    stage = LayerBudgetReranker(model, TEXTS, budget=3, **options)
    found = stage(QUERIES, INCOMING)
    assert torch.equal(found.ids, whole.ids)
    torch.testing.assert_close(found.scores, whole.scores, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.mask, whole.mask)
    assert stage.layers_run == (5 + 4) * 3

    # And the smallest is the early exit alone.
    def early(queries: list[str], documents: list[str]) -> torch.Tensor:
        return model.score(queries, documents, exit_layer=exit_layer)

    scorer = type("Early", (), {"score": staticmethod(early)})()
    alone = CrossEncoderReranker(scorer, TEXTS, k=5, first_stage_weight=0.5)(QUERIES, INCOMING)
    found = LayerBudgetReranker(model, TEXTS, budget=exit_layer, **options)(QUERIES, INCOMING)
    assert torch.equal(found.ids, alone.ids)
    torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("budget", [1, 2, 3])
def test_an_incoming_score_of_minus_infinity(budget: int, weight: float, tiny_encoder_folder: Path) -> None:
    """With weight 0 it is not looked at; else the document stands last of those scored, or of all by a last score."""
    model = model_of(tiny_encoder_folder, "bert")
    incoming = Ranking(*(each[:1] for each in INCOMING))
    strange = incoming._replace(scores=incoming.scores.index_fill(1, torch.tensor([2]), -torch.inf))
    stage = LayerBudgetReranker(model, TEXTS, exit_layer=1, budget=budget, k=5, first_stage_weight=weight)
    found, plain = stage(QUERIES[:1], strange), stage(QUERIES[:1], incoming)
    if weight == 0:
        assert torch.equal(found.ids, plain.ids)
        assert torch.equal(found.scores, plain.scores)
    else:
        assert found.ids[0].tolist().index(5) == (4 if budget == 2 else 5)
        assert not found.scores.isnan().any()


@pytest.mark.parametrize("padding", ["packed", "grouped"])
def test_only_the_best_go_on_and_no_layer_runs_twice(padding: Any, tiny_encoder_folder: Path) -> None:
    model = model_of(tiny_encoder_folder, "bert", padding=padding)
    query = QUERIES[:1]
    incoming = Ranking(*(each[:1] for each in INCOMING))
    lengths = model.tokenizer(query * 6, [TEXTS[row] for row in incoming.ids[0].tolist()]).lengths
    with torch.no_grad():
        texts = [TEXTS[row] for row in incoming.ids[0].tolist()]
        early, final = (model.score(query * 6, texts, exit_layer=layer) for layer in (1, None))
    # floor(6 (2 - 1) / (3 - 1)) = 3 go on.
    best = sorted(range(6), key=lambda place: -early[place])
    head = sorted(best[:3], key=lambda place: -final[place])
    seen = rows_of(model)
    stage = LayerBudgetReranker(model, TEXTS, exit_layer=1, budget=2)
    found = stage(query, incoming)
    assert found.ids[0].tolist() == incoming.ids[0][[*head, *best[3:]]].tolist()
    torch.testing.assert_close(found.scores[0, :3], final[head], rtol=1e-4, atol=1e-5)
    assert (found.scores[0].diff() <= 0).all()
    assert stage.layers_run == 6 * 1 + 3 * 2 == 6 * 2
    if padding == "packed":
        going_on = int(lengths[best[:3]].sum())
        assert [sum(calls) for calls in seen] == [int(lengths.sum()), going_on, going_on]
    else:
        assert sum(seen[1]) == sum(seen[2]) < sum(seen[0])
        assert len(seen[0]) == len(seen[1]) or len(seen[1]) <= 3


def test_nothing_is_left_behind_in_the_model(tiny_encoder_folder: Path) -> None:
    model = model_of(tiny_encoder_folder, "bert").train()
    names = [(name, type(module)) for name, module in model.named_modules()]
    stage = LayerBudgetReranker(model, TEXTS, exit_layer=1, budget=2)
    first, second = stage(QUERIES, INCOMING), stage(QUERIES, INCOMING)
    assert torch.equal(first.scores, second.scores), "dropout was on"
    assert not first.scores.requires_grad
    assert [(name, type(module)) for name, module in model.named_modules()] == names
    assert model.training
    nothing = INCOMING._replace(mask=torch.zeros_like(MASK))
    assert not stage(QUERIES, nothing).mask.any()


@pytest.mark.parametrize("budget", [1 + 0.2 * step for step in range(11)])
def test_the_budget_pays_for_what_goes_on(budget: float, tiny_encoder_folder: Path) -> None:
    model = model_of(tiny_encoder_folder, "bert")
    number = LayerBudgetReranker(model, TEXTS, exit_layer=1, budget=budget).going_on(100)
    assert number * 2 + 100 <= budget * 100 + 1e-6 < (number + 1) * 2 + 100


@pytest.mark.parametrize(
    ("options", "settings", "message"),
    [
        ({}, {"exit_layer": 3}, r"exit_layer=3 has no head: choose one of the model's exits \(1, 2\)"),
        ({"exits": ()}, {}, "none: train it with exits"),
        ({}, {"budget": 0.5}, "budget=0.5: all candidates take 1 layers and none more than 3"),
        ({}, {"budget": 4}, "budget=4"),
        ({}, {"k": 0}, "k=0 reranks nothing"),
        ({}, {"first_stage_weight": float("nan")}, "first_stage_weight=nan must be a finite number"),
        ({"listwise": True}, {}, "listwise=True: a pair's score depends on the others"),
        ({"compress_layer": 1}, {}, "compress_layer: its merged tokens"),
    ],
)
def test_bad_input(options: dict[str, Any], settings: dict[str, Any], message: str, tiny_encoder_folder: Path) -> None:
    model = model_of(tiny_encoder_folder, "bert", **options)
    with pytest.raises(InputError, match=message):
        LayerBudgetReranker(model, TEXTS, **{"exit_layer": 1, "budget": 2, **settings})

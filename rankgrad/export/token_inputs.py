"""Inputs of a graph of tokens: one to trace with, several to compare it on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from rankgrad.data.collate import TextTokens
from rankgrad.export.files import longest
from rankgrad.export.probe import random_tokens, shapes
from rankgrad.export.reference import TextRanker
from rankgrad.export.subject import Probe
from rankgrad.export.trace import Axes
from rankgrad.tokens import Tokens

TOKENS: Axes = ("batch", "tokens")


def token_example(model: TextRanker) -> dict[str, Tensor]:
    """No size of 0 or 1, which would be taken as fixed, and a padding that keeps the mask in."""
    input_ids = torch.full((2, 8), model.tokenizer.pad_id)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[1, 5:] = 0
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def pair_example(model: TextRanker) -> dict[str, Tensor]:
    """The same, of pairs."""
    inputs = token_example(model)
    token_type_ids = torch.zeros_like(inputs["input_ids"])
    token_type_ids[:, 3:] = 1
    return {**inputs, "token_type_ids": token_type_ids}


def token_probes(model: TextRanker) -> Iterator[Probe]:
    """Random tokens of the shapes that every export is compared on."""
    for shape in shapes(longest(model)):
        yield Probe(shape, random_tokens(model.tokenizer, shape))


def as_tensors(tokens: Tokens) -> TextTokens:
    """A padded batch as torch has it."""
    return TextTokens(*(torch.from_numpy(field) for field in tokens))

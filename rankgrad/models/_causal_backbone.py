"""Decoders with a head: loaded, cut to their first layers, and read at the last token of a prompt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.data.collate import TextTokens
from rankgrad.models import _folder, _low_rank
from rankgrad.models._headed import Dtype, load_headed
from rankgrad.models._layer_heads import capped
from rankgrad.models._products import products
from rankgrad.modules.encoder_layers import layers_of


def load(name: str, *, classifier: bool, dtype: Dtype, trust_remote_code: bool) -> nn.Module:
    """Load a causal language model, or a decoder with a one-label head (a new one where the folder has none).

    Raises:
        InputError: when the files are missing or truncated, or the model is no decoder.
    """
    transformers = require("transformers", "text")
    config = _folder.read_json(_folder.fetch(name, _folder.CONFIG))
    kind = config.get("model_type")
    # Its class may well have a causal head, on attention that looks ahead.
    if kind in require("transformers.models.auto.modeling_auto", "text").MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        raise InputError(f"{name} is a {kind}, no decoder: load it as a CrossEncoder")
    options = {"trust_remote_code": trust_remote_code}
    if classifier:
        auto, options = transformers.AutoModelForSequenceClassification, options | {"num_labels": 1}
    else:
        auto = transformers.AutoModelForCausalLM
    new = "score." if classifier and not _folder.is_classifier(name) else ""
    return load_headed(name, auto, what="a decoder", new=new, dtype=dtype, options=options)


def decoder_of(backbone: nn.Module) -> Any:
    """The decoder without its head."""
    return getattr(backbone, str(getattr(backbone, "base_model_prefix", "model")))


def keep_layers(backbone: nn.Module, layers: int) -> None:
    """Drop all but the first ``layers`` layers; the norm behind the last stays.

    Raises:
        InputError: for a number of layers that is not there, or a decoder without a list of them.
    """
    decoder, config = decoder_of(backbone), backbone.config
    try:
        path, found = layers_of(decoder)
    except InputError as error:
        raise InputError(f"layers={layers}: {type(decoder).__name__} has no list of layers: leave it out") from error
    depth = len(found)
    if not 1 <= layers <= depth:
        raise InputError(f"layers={layers}: the model has {depth}; keep 1 to {depth}")
    decoder.set_submodule(path, found[:layers])
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]  # type: ignore[union-attr, index]
    config.num_hidden_layers = layers  # type: ignore[union-attr]


def must_be_called(backbone: nn.Module) -> bool:
    """Is the backbone compiled, or split over processes (FSDP), so that it must be called itself, not its parts?"""
    return getattr(backbone, "_compiled_call_impl", None) is not None or hasattr(backbone, "reshard")


def whole_scores(backbone: nn.Module, tokens: TextTokens, answers: tuple[int, int | None] | None) -> Tensor:
    """Scores from the backbone's own output, float32 ``[rows]``: rows padded on the left, logits of the last place.

    Args:
        answers: the ids of the answers; None for a head of one output.
    """
    width = tokens.input_ids.shape[1]
    places = torch.arange(width, device=tokens.input_ids.device) - (width - tokens.attention_mask.sum(1, keepdim=True))
    real = places >= 0
    padding = torch.full_like(tokens.input_ids, backbone.config.pad_token_id)  # type: ignore[union-attr, arg-type]
    inputs: dict[str, Any] = {
        "input_ids": torch.where(real, tokens.input_ids.gather(1, places.clamp(min=0)), padding),
        "attention_mask": real.long(),
        "position_ids": places.clamp(min=0),
        "use_cache": False,
    }
    if answers is None:
        return capped(backbone, backbone(**inputs).logits.squeeze(-1).float())
    logits = backbone(**inputs, logits_to_keep=1).logits[:, -1].float()
    yes, no = answers
    return logits[:, yes] if no is None else logits[:, yes] - logits[:, no]


def linear_scores(backbone: nn.Module, states: Tensor) -> Tensor:
    """What a linear head of one score reads: float32 ``[rows]``, of states ``[rows, hidden]``."""
    head: Any = backbone.score
    scores = products(states, head.weight).squeeze(-1)
    return scores if head.bias is None else scores + head.bias.float()


def answer_scores(backbone: nn.Module, states: Tensor, answers: tuple[int, int | None]) -> Tensor:
    """The logit of one answer, less that of the other: float32 ``[rows]``, of states ``[rows, hidden]``.

    Only these rows of the head's matrix, and of the updates beside it, are multiplied, not the whole vocabulary.
    """
    head: Any = backbone.get_output_embeddings()  # type: ignore[operator]
    ids = torch.tensor([token for token in answers if token is not None], device=states.device)
    logits = products(states, head.weight[ids])
    if getattr(head, "bias", None) is not None:
        logits = logits + head.bias[ids].float()
    update = _low_rank.row_updates(head, states, ids)
    if update is not None:
        logits = logits + update
    cap = getattr(backbone.config, "final_logit_softcapping", None)
    if cap:
        logits = cap * torch.tanh(logits / cap)
    return logits[:, 0] if len(ids) == 1 else logits[:, 0] - logits[:, 1]

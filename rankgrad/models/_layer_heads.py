"""Rerankers with heads behind several layers, read as decoders that end at one of them.

Of this kind is bge-reranker-v2.5-gemma2-lightweight: Gemma 2, a linear layer of one output behind every layer from
the eighth on, each reading the last token's state after the decoder's final norm. FlagEmbedding 1.3 gives a layer
that is asked for alone the first of the heads; here every layer has its own, the one it was trained with.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.models import _folder
from rankgrad.models._headed import Dtype, load_headed

CAP = "score_softcapping"
_GEMMA = "cost_wise_gemma"
_THEIRS = ("model_type", "architectures", "auto_map", "start_layer", "layer_sep", "layer_wise", "transformers_version")


def has_layer_heads(name: str) -> bool:
    """Does a folder or hub id hold a decoder with heads behind its layers, of a kind that is read?

    Raises:
        InputError: for one of another kind.
    """
    config = _folder.read_json(_folder.fetch(name, _folder.CONFIG))
    layered = config.get("layer_wise") or config.get("head_type") in ("simple", "complex")
    if "start_layer" not in config or not layered:
        return False
    if config.get("model_type") == _GEMMA:
        return True
    architecture = next(iter(_folder.architectures(name)), config.get("model_type"))
    raise InputError(
        f"{name} is a {architecture}, with heads of its own behind its layers from {config['start_layer']} on, and no "
        "decoder that transformers has: take bge-reranker-v2.5-gemma2-lightweight, or a reranker with one head"
    )


def load(name: str, *, layers: int | None, dtype: Dtype) -> nn.Module:
    """The decoder up to a layer, with that layer's head, as transformers' sequence classifier of one label.

    Args:
        name: what :func:`has_layer_heads` says yes to.
        layers: where to stop; None = behind the last.
        dtype: of the weights.

    Raises:
        InputError: for a layer without a head, or files that are missing or truncated.
    """
    config = _folder.read_json(_folder.fetch(name, _folder.CONFIG))
    depth, start = config["num_hidden_layers"], config["start_layer"]
    places = range(start, depth + 1, config.get("layer_sep", 1))
    stop = depth if layers is None else layers
    if stop not in places:
        listed = ", ".join(map(str, places))
        raise InputError(f"layers={stop}: {name} has heads behind its layers {listed}; choose one of them")
    transformers = require("transformers", "text")
    told = {key: value for key, value in config.items() if key not in _THEIRS}
    if told.get("layer_types"):
        told["layer_types"] = told["layer_types"][:stop]
    cut = transformers.Gemma2Config(**(told | {"num_hidden_layers": stop, "num_labels": 1}))
    setattr(cut, CAP, cut.final_logit_softcapping)
    classifier = transformers.Gemma2ForSequenceClassification
    options = {"config": cut}
    # Layers behind the cut are left out.
    backbone = load_headed(name, classifier, what="a decoder", new="score.", whole=False, dtype=dtype, options=options)
    score = cast(nn.Linear, backbone.score)
    weight = _tensor(name, f"lm_head.{places.index(stop)}.linear_head.weight")
    if weight.shape != score.weight.shape:
        raise InputError(f"{name}: the head of layer {stop} is {list(weight.shape)}, not {list(score.weight.shape)}")
    with torch.no_grad():
        score.weight.copy_(weight)
    return backbone


def capped(backbone: nn.Module, scores: Tensor) -> Tensor:
    """Scores as the model caps them: ``cap tanh(score / cap)``; as they are where it does not."""
    cap = getattr(backbone.config, CAP, None)
    return cap * torch.tanh(scores / cap) if cap else scores


def _tensor(name: str, key: str) -> Tensor:
    """One tensor of a folder or hub id, in one file or in several."""
    safe: Any = require("safetensors", "text")
    index = _folder.read_json(_folder.fetch(name, "model.safetensors.index.json")).get("weight_map", {})
    path = _folder.fetch(name, index.get(key, "model.safetensors"))
    if not path.is_file():
        raise InputError(f"{name} has no {path.name}, where its head {key} is looked for: copy the model folder again")
    try:
        with safe.safe_open(path, framework="pt") as file:
            found = file.get_tensor(key) if key in file.keys() else None  # noqa: SIM118
    except safe.SafetensorError as error:
        raise InputError(f"{path} cannot be read ({error}): copy the model folder again") from error
    if found is None:
        raise _folder.lacks(path, key)
    return found

"""Low-rank updates (LoRA) of a transformers model, by PEFT: put in, merged, saved and read in PEFT's own layout."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.models import _folder

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_NAME = "default"
_PREFIX = "base_model.model."


def linear_names(decoder: nn.Module) -> list[str]:
    """The last names of a decoder's linear layers, sorted: what is adapted where nobody says."""
    return sorted({name.rpartition(".")[2] for name, part in decoder.named_modules() if isinstance(part, nn.Linear)})


def adapt(
    backbone: nn.Module,
    targets: Sequence[str],
    *,
    rank: int,
    alpha: float,
    dropout: float,
    task: str,
) -> Any:
    """Freeze a model and put trainable low-rank updates beside the layers named ``targets``; returns PEFT's settings.

    Raises:
        InputError: for a rank below 1, or names that no layer has.
        MissingExtraError: without peft.
    """
    peft = require("peft", "lora")
    if rank < 1:
        raise InputError(f"lora_rank={rank}: an update needs a rank of at least 1")
    settings = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(targets), task_type=task
    )
    _inject(backbone, settings)
    return settings


def merged_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The state dict of the model without updates, each added to its layer."""
    layer_kind = require("peft.tuners.lora", "lora").LoraLayer
    state = {
        key.replace(".base_layer.", "."): value for key, value in backbone.state_dict().items() if ".lora_" not in key
    }
    for name, part in backbone.named_modules():
        if isinstance(part, layer_kind):
            layer: Any = part
            weight, update = layer.get_base_layer().weight, layer.get_delta_weight(_NAME)
            state[f"{name}.weight"] = weight.detach() + update.detach().to(weight.dtype)
    return state


def save_adapter(backbone: nn.Module, settings: Any, folder: Path, *, beside: Sequence[str] = ()) -> None:
    """Write the updates alone, as PEFT reads them.

    Args:
        beside: modules saved whole (a head).
    """
    written = copy.copy(settings)
    written.modules_to_save = list(beside) or None
    written.save_pretrained(str(folder))
    state = {}
    for key, value in backbone.state_dict().items():
        if ".lora_" in key:
            state[_PREFIX + key.replace(f".{_NAME}.", ".")] = value
        elif key.partition(".")[0] in beside:
            state[_PREFIX + key] = value
    _folder.save_tensors(state, folder / WEIGHTS)


def load_adapter(backbone: nn.Module, source: str) -> Any:
    """Put in the updates that PEFT or :func:`save_adapter` wrote; returns PEFT's settings.

    Raises:
        InputError: for a folder without an adapter, or one of another model.
        MissingExtraError: without peft.
    """
    peft = require("peft", "lora")
    path = _folder.fetch(source, WEIGHTS)
    if not _folder.fetch(source, CONFIG).is_file():
        raise InputError(f"{source} holds no adapter: no {CONFIG}; pass a folder that save_adapter or PEFT wrote")
    settings = peft.LoraConfig.from_pretrained(source)
    if settings.peft_type != "LORA":
        raise InputError(f"{source} holds an adapter of the kind {settings.peft_type}: only LORA is read")
    settings.modules_to_save, settings.inference_mode = None, False
    _inject(backbone, settings)
    saved = {}
    for key, value in _folder.load_tensors(path).items():
        name = key.removeprefix(_PREFIX)
        before, found, after = name.rpartition(".lora_")
        if found:
            part, _, rest = after.partition(".")
            name = f"{before}.lora_{part}.{_NAME}" + (f".{rest}" if rest else "")
        saved[name] = value
    lacking = {key for key in backbone.state_dict() if ".lora_" in key} - saved.keys()
    unknown = saved.keys() - backbone.state_dict().keys()
    if lacking or unknown:
        wrong = sorted(lacking or unknown)[0]
        raise InputError(f"{path} belongs to another model: {wrong} is {'missing' if lacking else 'unknown here'}")
    _folder.load_state(backbone, backbone.state_dict() | saved, path)
    return settings


def _inject(backbone: nn.Module, settings: Any) -> None:
    peft = require("peft", "lora")
    try:
        peft.inject_adapter_in_model(settings, backbone, adapter_name=_NAME)
    except ValueError as error:
        raise InputError(f"lora_targets: {' '.join(str(error).split())[:200]}") from error
    for name, parameter in backbone.named_parameters():
        if ".lora_" in name:
            # In half precision small steps would round to nothing; the frozen weights keep their type.
            parameter.data = parameter.data.float()

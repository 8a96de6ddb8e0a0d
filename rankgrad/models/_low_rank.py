"""Low-rank updates (LoRA) of a transformers model, by PEFT: put in, merged, saved and read in PEFT's own layout."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.models import _folder
from rankgrad.models._products import products

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_OLD_WEIGHTS = "adapter_model.bin"
_NAME = "default"
_PREFIX = "base_model.model."
# Options that make more of an update than a product of two matrices.
_OTHER = (
    "use_dora",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "ensure_weight_tying",
    "kasa_config",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
)


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
    named = [name for name, _ in backbone.named_modules() if any(f".{name}".endswith(f".{end}") for end in targets)]
    _untie(backbone, named)
    _inject(backbone, settings)
    return settings


def row_updates(layer: nn.Module, states: Tensor, rows: Tensor) -> Tensor | None:
    """What the updates beside a linear layer add to some rows of its output: float32 ``[.., rows]``; None = nothing.

    Args:
        layer: with updates or without.
        states: what the layer reads ``[.., in]``.
        rows: numbers of rows of its matrix, int64 ``[rows]``.
    """
    updated: Any = layer
    if not hasattr(layer, "lora_A") or updated.merged or updated.disable_adapters:
        return None
    added = None
    for name in updated.active_adapters:
        if name in updated.lora_A:
            second = updated.lora_B[name]
            inner = products(updated.lora_dropout[name](states.float()), updated.lora_A[name].weight)
            update = products(inner, second.weight[rows])
            if second.bias is not None:
                update = update + second.bias[rows].float()
            update = update * updated.scaling[name]
            added = update if added is None else added + update
    return added


def merged_state(backbone: nn.Module) -> dict[str, Tensor]:
    """The state dict of the model without updates, each added to its layer."""
    layer_kind = require("peft.tuners.lora", "lora").LoraLayer
    state = {
        key.replace(".base_layer.", "."): value for key, value in backbone.state_dict().items() if ".lora_" not in key
    }
    for name, part in backbone.named_modules():
        if isinstance(part, layer_kind):
            layer: Any = part
            base, update = layer.get_base_layer(), layer.get_delta_weight(_NAME)
            state[f"{name}.weight"] = base.weight.detach() + update.detach().to(base.weight.dtype)
            if layer.lora_bias.get(_NAME):
                update = layer.lora_B[_NAME].bias * layer.scaling[_NAME]
                state[f"{name}.bias"] = base.bias.detach() + update.detach().to(base.bias.dtype)
    return state


def save_adapter(backbone: nn.Module, settings: Any, folder: Path, *, beside: Sequence[str] = ()) -> None:
    """Write the updates alone, as PEFT reads them, with the modules that the settings name as saved whole.

    Args:
        beside: further modules saved whole (a head).
    """
    written = copy.copy(settings)
    whole = list(dict.fromkeys([*(settings.modules_to_save or ()), *beside]))
    written.modules_to_save = whole or None
    written.save_pretrained(str(folder))
    state = {}
    for key, value in backbone.state_dict().items():
        if ".lora_" in key:
            state[_PREFIX + f"{key}.".replace(f".{_NAME}.", ".").removesuffix(".")] = value
        elif any(f"{name}." in key for name in whole) or (settings.bias != "none" and key.endswith(".bias")):
            state[_PREFIX + key] = value
    _folder.save_tensors(state, folder / WEIGHTS)


def load_adapter(backbone: nn.Module, source: str) -> Any:
    """Put in the updates that PEFT or :func:`save_adapter` wrote; returns PEFT's settings.

    Modules that the adapter holds whole take the place of the model's own, frozen. A head that shares the input
    embeddings' matrix gets one of its own where the adapter changes either.

    Raises:
        InputError: for a folder without an adapter, one of another model, or one of a kind that is not read.
        MissingExtraError: without peft.
    """
    peft = require("peft", "lora")
    if not _folder.fetch(source, CONFIG).is_file():
        raise InputError(f"{source} holds no adapter: no {CONFIG}; pass a folder that save_adapter or PEFT wrote")
    settings = peft.LoraConfig.from_pretrained(source)
    if settings.peft_type != "LORA":
        raise InputError(f"{source} holds an adapter of the kind {settings.peft_type}: only LORA is read")
    for option in _OTHER:
        if getattr(settings, option, None):
            raise InputError(
                f"{source} holds an adapter with {option}, which is not read: merge it into its model by PEFT "
                "(merge_and_unload), save that and load it without an adapter"
            )
    path = _folder.fetch(source, WEIGHTS)
    if not path.is_file() and _folder.fetch(source, _OLD_WEIGHTS).is_file():
        path = _folder.fetch(source, _OLD_WEIGHTS)
    saved = {_inner_name(key): value for key, value in _folder.load_tensors(path).items()}
    _check_biases(backbone, saved, path)
    _untie(backbone, {key.partition(".lora_")[0] if ".lora_" in key else key.rpartition(".")[0] for key in saved})
    # PEFT would keep the model's own beside them.
    whole, settings.modules_to_save, settings.inference_mode = settings.modules_to_save, None, False
    _inject(backbone, settings)
    settings.modules_to_save = whole
    state = backbone.state_dict()
    lacking, unknown = {key for key in state if ".lora_" in key} - saved.keys(), saved.keys() - state.keys()
    if lacking or unknown:
        wrong = sorted(lacking or unknown)[0]
        raise InputError(f"{path} belongs to another model: {wrong} is {'missing' if lacking else 'unknown here'}")
    _folder.load_state(backbone, state | saved, path)
    return settings


def _inner_name(key: str) -> str:
    """The name inside the model of a tensor in an adapter's file, which leaves out the adapter's own name."""
    before, found, after = key.removeprefix(_PREFIX).rpartition(".lora_")
    if not found:
        return after
    part, _, rest = after.partition(".")
    return f"{before}.lora_{part}.{_NAME}" + (f".{rest}" if rest else "")


def _check_biases(backbone: nn.Module, saved: Collection[str], path: Path) -> None:
    """Refuse updates of biases that the layers do not have: merged they would have no place."""
    layers = dict(backbone.named_modules())
    for key in saved:
        name, found, _ = key.partition(f".lora_B.{_NAME}.bias")
        if found and name in layers and getattr(layers[name], "bias", None) is None:
            raise InputError(
                f"{path} updates the bias of {name}, which has none (lora_bias): train the adapter without lora_bias"
            )


def _untie(backbone: nn.Module, changed: Collection[str]) -> None:
    """Give the head a matrix of its own if it shares that of the input embeddings and one of both is ``changed``."""
    model: Any = backbone
    words, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is None or head.weight is not words.weight:
        return
    if any(part is words or part is head for name, part in backbone.named_modules() if name in changed):
        head.weight = nn.Parameter(head.weight.detach().clone())
        model.config.tie_word_embeddings = False


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

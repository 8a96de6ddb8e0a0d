"""What a training may ask of the transformers model inside a ranker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from rankgrad._checks import InputError


def keep_few_activations(model: nn.Module) -> None:
    """Let the backbone keep the input of each layer only, and compute the layer again in the backward pass.

    Raises:
        InputError: for a model without a backbone, or whose backbone cannot do so.
    """
    backbone = _backbone(model, "gradient_checkpointing")
    if not getattr(backbone, "supports_gradient_checkpointing", False):
        raise InputError(f"gradient_checkpointing=True: {type(backbone).__name__} does not support it; leave it out")
    # Newer versions of transformers renamed it.
    renamed = hasattr(backbone, "activation_checkpointing_enable")
    enable = backbone.activation_checkpointing_enable if renamed else backbone.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def compile_backbone(model: nn.Module) -> None:
    """Compile the backbone in place, for all lengths and batch sizes; names in the state dict stay.

    Raises:
        InputError: for a model without a backbone.
    """
    _backbone(model, "compile").compile(dynamic=True)


def layers_of(backbone: nn.Module) -> Iterator[nn.Module]:
    """The entries of its outermost module lists."""
    for child in backbone.children():
        if isinstance(child, nn.ModuleList):
            yield from child
        else:
            yield from layers_of(child)


def _backbone(model: nn.Module, option: str) -> Any:
    backbone = getattr(model, "backbone", None)
    if not isinstance(backbone, nn.Module):
        raise InputError(f"{option}=True: {type(model).__name__} has no backbone to do it for; leave it out")
    return backbone

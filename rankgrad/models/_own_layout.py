"""ColBERT in our own folders: for heads that the other layouts have no place for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.models._dense_modules import activation_at, activation_path
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import LateInteractionRules

KIND = "colbert"
_HEAD = "head.safetensors"


def is_here(settings: dict[str, Any]) -> bool:
    """Do our settings tell the rules, and not only what other layouts leave out?"""
    return "rules" in settings


def read(source: str, settings: dict[str, Any]) -> tuple[LateInteractionRules, list[ProjectionLayer]]:
    """The rules and the projection.

    Raises:
        InputError: for a damaged file, or weights of another head.
    """
    where = _folder.fetch(source, _folder.SETTINGS)
    try:
        layers = [
            ProjectionLayer(**{**shape, "activation": activation_at(shape["activation"], where)})
            for shape in settings["layers"]
        ]
        rules = LateInteractionRules.from_dict(settings["rules"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{where} is incomplete ({error}): copy the model folder again") from error
    path = _folder.fetch(source, _HEAD)
    if layers:
        _folder.load_state(nn.Sequential(*layers), _folder.load_tensors(path), path)
    return rules, layers


def write(folder: Path, rules: LateInteractionRules, projection: Projection) -> dict[str, Any]:
    """Write the projection's weights; returns what the settings must tell.

    Raises:
        InputError: for an activation that has no import path in torch.
    """
    layers = [cast(ProjectionLayer, layer) for layer in projection.layers]
    if layers:
        _folder.save_tensors(projection.layers.state_dict(), folder / _HEAD)
    shapes = [
        {
            "in_features": layer.in_features,
            "out_features": layer.out_features,
            "bias": layer.linear.bias is not None,
            "activation": activation_path(layer.activation),
            "gated": layer.gate is not None,
            "residual": layer.residual is not None,
        }
        for layer in layers
    ]
    return {"rules": rules.to_dict(), "layers": shapes}

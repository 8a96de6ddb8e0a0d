"""The Dense modules of PyLate and sentence-transformers on disk, as layers of a projection."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.modules.projection import Projection
from rankgrad.modules.projection_layer import ProjectionLayer

TANH = "torch.nn.modules.activation.Tanh"
_WEIGHTS = "model.safetensors"
_TORCH = ("torch.nn", "torch.nn.modules.activation", "torch.nn.modules.linear")


def read_layers(source: str, *, default_activation: str) -> list[ProjectionLayer]:
    """The layers of the Dense modules that ``modules.json`` lists, in its order.

    Args:
        source: a folder or hub id.
        default_activation: of a module whose configuration names none.

    Raises:
        InputError: for a module that is no layer of a projection, or files that are damaged or do not fit.
    """
    modules = _folder.read_modules(source)
    paths = [module["path"] for module in modules if module["type"].endswith("Dense")]
    return [read_layer(source, path, default_activation=default_activation) for path in paths]


def write_layer(folder: Path, layer: ProjectionLayer, *, io_names: bool | tuple[str, str]) -> None:
    """Write one layer as a Dense module.

    Args:
        folder: of the module; made where it is not there.
        layer: without a gate.
        io_names: the features that the module reads and writes, as sentence-transformers says them; True = those of
            tokens, False = say nothing.

    Raises:
        InputError: for what a Dense module cannot say: a gate, or an activation with options.
    """
    if layer.gate is not None:
        raise no_place("a gated projection (GLU, SwiGLU)", "Dense")
    folder.mkdir(exist_ok=True)
    features = io_names if isinstance(io_names, tuple) else ("token_embeddings",) * 2 if io_names else ()
    names = dict(zip(("module_input_name", "module_output_name"), features, strict=False))
    config = {
        "in_features": layer.in_features,
        "out_features": layer.out_features,
        "bias": layer.linear.bias is not None,
        "activation_function": activation_path(layer.activation),
        "use_residual": layer.residual is not None,
    }
    _folder.write_json(folder / "config.json", config | names)
    _folder.save_tensors(layer.state_dict(), folder / _WEIGHTS)


def layers_of(projection: Projection) -> list[ProjectionLayer]:
    """The layers; for none the identity, since readers put a random layer where they find none.

    Readers have no place for a width; a last layer that takes the leading coordinates says the same.
    """
    layers = [cast(ProjectionLayer, layer) for layer in projection.layers]
    layers = layers or [leading_coordinates(projection.hidden_size, projection.hidden_size)]
    width = projection.truncate_dim
    return layers if width is None else [*layers, leading_coordinates(projection.full_dim, width)]


def leading_coordinates(full_dim: int, width: int) -> ProjectionLayer:
    """A layer that gives the first ``width`` of the coordinates it takes."""
    # Saving in the midst of a training must not change its random numbers.
    with torch.random.fork_rng(devices=[]):
        layer = ProjectionLayer(full_dim, width)
    nn.init.eye_(layer.linear.weight)
    return layer


def without_cut(layers: Sequence[ProjectionLayer], width: int | None, source: str) -> list[ProjectionLayer]:
    """The layers of a folder without the last, which is :func:`leading_coordinates`; all of them for no ``width``.

    Raises:
        InputError: when the last is another layer.
    """
    if width is None:
        return list(layers)
    last = layers[-1].linear.weight if layers and layers[-1].is_linear else None
    if last is None or len(last) != width or not torch.equal(last, torch.eye(*last.shape)):
        raise InputError(
            f"{source} says truncate_dim={width} and has no last Dense module that takes the leading coordinates: copy "
            "the model folder again"
        )
    return list(layers[:-1])


def no_place(what: str, layout: str) -> InputError:
    """The error of a layout that cannot hold a part of the model."""
    return InputError(
        f'{what} has no place in the {layout} layout: save with layout="rankgrad", which holds everything'
    )


def activation_path(activation: nn.Module) -> str:
    """The import path of an activation.

    Raises:
        InputError: when it is not torch's own, or has options that a path does not tell.
    """
    kind = type(activation)
    if not kind.__module__.startswith("torch.nn.modules.") or repr(activation) != repr(kind()):
        raise InputError(
            f"activation {activation!r} cannot be written: only torch.nn activations with their defaults have a name "
            "that others read"
        )
    return f"{kind.__module__}.{kind.__qualname__}"


def activation_at(path: str, where: object) -> nn.Module:
    """The activation of an import path; nothing outside ``torch.nn`` is imported.

    Raises:
        InputError: when it is not one of torch's.
    """
    module, _, name = str(path).rpartition(".")
    kind = getattr(import_module(module), name, None) if module in _TORCH else None
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise InputError(f"{where} names the activation {path!r}: only those of torch.nn are read")
    try:
        return kind()
    except TypeError as error:
        raise InputError(f"{where} names the activation {path!r}, which needs options: it is not read") from error


def read_layer(source: str, name: str, *, default_activation: str) -> ProjectionLayer:
    """The layer of one Dense module.

    Args:
        source: a folder or hub id.
        name: the module's folder in it.
        default_activation: where its configuration names none.

    Raises:
        InputError: for files that are damaged or do not fit.
    """
    where = _folder.fetch(source, f"{name}/config.json")
    config: dict[str, Any] = _folder.read_json(where)
    if not config:
        raise InputError(f"{where} is missing: copy the model folder again")
    try:
        layer = ProjectionLayer(
            config["in_features"],
            config["out_features"],
            bias=config.get("bias", True),
            activation=activation_at(config.get("activation_function", default_activation), where),
            residual=config.get("use_residual", False),
        )
    except KeyError as error:
        raise InputError(f"{where} has no {error}: copy the model folder again") from error
    path = weights_at(source, name)
    _folder.load_state(layer, _folder.load_tensors(path), path)
    return layer


def weights_at(source: str, name: str = "") -> Path:
    """Path of the weights of a module, or of the folder itself: a ``.bin`` of torch's where no safetensors are."""
    folder = f"{name}/" if name else ""
    path = _folder.fetch(source, folder + _WEIGHTS)
    return path if path.is_file() else _folder.fetch(source, f"{folder}pytorch_model.bin")

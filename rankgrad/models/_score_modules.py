"""The modules between a transformer and a score on disk: pooling, dense layers, norms, as a classifier's parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from rankgrad._checks import InputError
from rankgrad.models import _folder
from rankgrad.models._dense_modules import TANH, read_layer, weights_at, write_layer
from rankgrad.models._pooling_module import pooling_config, read_pooling
from rankgrad.models._saved_modules import SavedModules
from rankgrad.modules.pooled_classifier import PooledClassifier
from rankgrad.modules.pooling import StatePooling
from rankgrad.modules.projection_layer import ProjectionLayer

_VECTOR, _SCORES = "sentence_embedding", "scores"
_WEIGHTS = "model.safetensors"


def read(source: str, saved: SavedModules, encoder: nn.Module) -> PooledClassifier:
    """The classifier that the modules behind the transformer make of its encoder.

    Raises:
        InputError: naming the module, when it cannot be read or does not fit the one before it.
    """
    width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
    pooling = _pooling(source, saved.paths[1], width)
    layers: list[nn.Module] = []
    reads = _VECTOR
    for name, path in zip(saved.names[2:], saved.paths[2:], strict=True):
        if reads != _VECTOR:
            raise InputError(f"{source} has the module {path} behind the one that gives the scores")
        if name == "Dense":
            layer, reads = _dense(source, path)
            takes, gives = layer.in_features, layer.out_features
        elif name == "LayerNorm":
            layer = _layer_norm(source, path)
            takes = gives = layer.normalized_shape[0]
        else:
            layer = nn.Dropout(float(_config(source, path, "dropout")["dropout"]))
            takes = gives = width
        if takes != width:
            raise InputError(f"{source}: the module {path} takes {takes} features, and gets {width}")
        layers.append(layer)
        width = gives
    if reads != _SCORES:
        raise InputError(f"{source} has no module whose module_output_name is {_SCORES!r}: nothing in it gives a score")
    if width != 1:
        raise InputError(f"{source} gives {width} scores a pair ({saved.paths[-1]}): a cross-encoder gives one")
    return PooledClassifier(encoder, layers, pooling=pooling)


def names_of(classifier: PooledClassifier) -> list[str]:
    """The names of the modules that hold a classifier.

    Raises:
        InputError: naming a layer that none of them is.
    """
    names = ["Transformer", "Pooling"]
    for layer in classifier.layers:
        if isinstance(layer, ProjectionLayer):
            names.append("Dense")
        elif isinstance(layer, nn.Dropout):
            names.append("Dropout")
        elif isinstance(layer, nn.LayerNorm) and repr(layer) == repr(nn.LayerNorm(list(layer.normalized_shape))):
            names.append("LayerNorm")
        else:
            raise InputError(
                f"the layer {layer!r} cannot be written: sentence-transformers has modules for ProjectionLayer, "
                "LayerNorm with its defaults, and Dropout"
            )
    if names[-1] != "Dense":
        raise InputError(
            f"{names[-1]} cannot be written as the last layer: in sentence-transformers a Dense gives scores"
        )
    return names


def write(folders: Sequence[Path], classifier: PooledClassifier) -> None:
    """Write the parts of a classifier into the folders of its modules, those of the pooling and of each layer.

    Raises:
        InputError: for a layer that a Dense module cannot hold.
    """
    width = int(classifier.config.hidden_size)
    _folder.write_json(folders[0] / "config.json", pooling_config(classifier.pooling, width))
    for folder, layer in zip(folders[1:], classifier.layers, strict=True):
        if isinstance(layer, ProjectionLayer):
            write_layer(folder, layer, io_names=(_VECTOR, _SCORES if folder is folders[-1] else _VECTOR))
        elif isinstance(layer, nn.LayerNorm):
            _folder.write_json(folder / "config.json", {"dimension": layer.normalized_shape[0]})
            _folder.save_tensors(nn.ModuleDict({"norm": layer}).state_dict(), folder / _WEIGHTS)
        elif isinstance(layer, nn.Dropout):
            _folder.write_json(folder / "config.json", {"dropout": layer.p})


def _pooling(source: str, path: str, width: int) -> StatePooling:
    """The one way of pooling that a Pooling module of this width has."""
    pooling, config = read_pooling(source, path)
    gets = config.get("embedding_dimension", config.get("word_embedding_dimension", width))
    if gets != width:
        raise InputError(f"{source}: the module {path} takes {gets} features, and gets {width}")
    return pooling


def _dense(source: str, path: str) -> tuple[ProjectionLayer, str]:
    """The layer of a Dense module, and the name of what it gives."""
    config = _config(source, path, "in_features")
    reads = config.get("module_input_name") or _VECTOR
    gives = config.get("module_output_name") or reads
    if reads != _VECTOR or gives not in (_VECTOR, _SCORES):
        raise InputError(f"{source}: the module {path} makes {gives} of {reads}, which is not read")
    return read_layer(source, path, default_activation=TANH), gives


def _layer_norm(source: str, path: str) -> nn.LayerNorm:
    layer = nn.LayerNorm(int(_config(source, path, "dimension")["dimension"]))
    where = weights_at(source, path)
    _folder.load_state(nn.ModuleDict({"norm": layer}), _folder.load_tensors(where), where)
    return layer


def _config(source: str, path: str, needed: str) -> dict[str, Any]:
    where = _folder.fetch(source, f"{path}/config.json")
    config = _folder.read_json(where)
    if not config:
        raise InputError(f"{where} is missing: copy the model folder again")
    if needed not in config:
        raise InputError(f"{where} has no {needed!r}: copy the model folder again")
    return config

"""A graph as one file under 2 GB, and above that as two: ``model.onnx``, and its weights in ``model.onnx_data``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from rankgrad._checks import InputError, require
from rankgrad.deploy.bundle import fingerprint

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

LARGEST_FILE = 2 * 10**9
"""Bytes of weights that go into a graph's own file: protobuf refuses 2 GiB, and the nodes take some, too."""

# Smaller ones stay in the graph, where shapes are inferred from them.
_SMALLEST_APART = 1024
# Of a memory page, so that a runtime can map each weight as it lies in the file.
_ALIGNED = 4096


def data_path(path: str | Path) -> Path:
    """Where the weights of a graph lie that do not fit into its own file.

    Example:
        >>> data_path("onnx/model.onnx").name
        'model.onnx_data'
    """
    path = Path(path)
    return path.with_name(f"{path.name}_data")


def exceeds_one_file(graph: GraphProto) -> bool:
    """Are a graph's weights larger than ``LARGEST_FILE``?"""
    return sum(_bytes(weight) for weight in graph.initializer) > LARGEST_FILE


def save_graph(model: ModelProto, path: Path) -> None:
    """Write a graph, with its weights in ``data_path(path)`` where they exceed ``LARGEST_FILE``.

    In that case they are taken out of ``model``. What is written is written in place: see :func:`atomic_graph`.
    """
    if exceeds_one_file(model.graph):
        with data_path(path).open("wb") as file:
            for weight in model.graph.initializer:
                if weight.HasField("raw_data") and _bytes(weight) >= _SMALLEST_APART:
                    file.write(b"\0" * (-file.tell() % _ALIGNED))
                    _move(weight, file.tell(), file.write(weight.raw_data), data_path(path).name)
    require("onnx", "onnx").save(model, str(path))


def read_graph(path: str | Path) -> ModelProto:
    """Read a graph with its weights, wherever they lie.

    Raises:
        InputError: when the file beside it that holds them is missing or cut off.
    """
    onnx = require("onnx", "onnx")
    model = onnx.load(str(path), load_external_data=False)
    try:
        onnx.load_external_data_for_model(model, str(Path(path).parent))
    except (onnx.checker.ValidationError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: the weights beside it cannot be read ({str(error)[:300]}): keep {data_path(path).name} in the "
            "same folder, or export again"
        ) from error
    return model


def check_graph(path: Path) -> None:
    """Have onnx check a graph; by its path, which weights of any size pass through."""
    require("onnx", "onnx").checker.check_model(str(path))


@contextmanager
def atomic_graph(path: str | Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder; move what is written there if the block succeeds.

    The name stays because a graph names the file of its weights. A reader never meets a graph beside the weights of
    another: the older graph goes before the new weights come.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as folder:
        temporary = Path(folder) / path.name
        yield temporary
        data, made = data_path(path), data_path(temporary)
        replaced = path.is_file()
        if made.is_file():
            path.unlink(missing_ok=True)
            os.replace(made, data)
            os.replace(temporary, path)
            return
        os.replace(temporary, path)
        if replaced:
            data.unlink(missing_ok=True)


def graph_entry(folder: Path, file: str) -> dict[str, Any]:
    """What ``rankgrad.json`` says of a graph: file, size and SHA-256, and those of its weights where they lie apart.

    Args:
        folder: the bundle.
        file: the graph in it.
    """
    entry: dict[str, Any] = {"file": file, **fingerprint(folder / file)}
    data = data_path(folder / file)
    if data.is_file():
        entry["data"] = {"file": data.relative_to(folder).as_posix(), **fingerprint(data)}
    return entry


def _bytes(weight: TensorProto) -> int:
    """Its size, computed: to ask for the bytes is to copy them."""
    helper: Any = require("onnx.helper", "onnx")
    return prod(weight.dims) * helper.tensor_dtype_to_np_dtype(weight.data_type).itemsize


def _move(weight: TensorProto, offset: int, length: int, location: str) -> None:
    """Let a weight say where its bytes are instead of holding them."""
    weight.ClearField("raw_data")
    weight.data_location = require("onnx", "onnx").TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        weight.external_data.add(key=key, value=str(value))

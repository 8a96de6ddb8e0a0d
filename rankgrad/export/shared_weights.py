"""Weights of a module that is traced twice: each once in the graph, turned round already."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np

from rankgrad._checks import require

if TYPE_CHECKING:
    from onnx import GraphProto


def fold_transposes(graph: GraphProto) -> None:
    """Turn weights round in the file: the exporter leaves that to run time where two nodes read one weight, and a
    quantizer then finds no constant to quantize."""
    numpy_helper = require("onnx.numpy_helper", "onnx")
    weights = {weight.name: weight for weight in graph.initializer}
    turned: dict[tuple[str, tuple[int, ...]], str] = {}
    same: dict[str, str] = {}
    folded = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in weights]
    for node in folded:
        source, output = weights[node.input[0]], node.output[0]
        order = tuple(node.attribute[0].ints) if node.attribute else tuple(reversed(range(len(source.dims))))
        if (source.name, order) not in turned:
            values = np.ascontiguousarray(numpy_helper.to_array(source).transpose(order))
            graph.initializer.append(numpy_helper.from_array(values, output))
        same[output] = turned.setdefault((source.name, order), output)
        graph.node.remove(node)
    _rename(graph, same)
    read = set(_names_read(graph)) | {value.name for value in graph.output}
    for name in {node.input[0] for node in folded} - read:
        graph.initializer.remove(weights[name])


def share_weights(graph: GraphProto) -> None:
    """Keep one of each weight: a module that is traced twice has its matrices, turned round, in the graph twice."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    same: dict[str, str] = {}
    for weight in graph.initializer:
        # A digest: to keep what was read of each weight is to hold the model twice.
        content = sha256(weight.raw_data or weight.SerializeToString()).digest()
        key = (weight.data_type, tuple(weight.dims), content)
        kept = first.setdefault(key, weight.name)
        if kept != weight.name:
            same[weight.name] = kept
    if not same:
        return
    _rename(graph, same)
    outputs = {value.name for value in graph.output}
    doubled = [weight for weight in graph.initializer if weight.name in same and weight.name not in outputs]
    for weight in doubled:
        graph.initializer.remove(weight)


def _names_read(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _names_read(inner)


def _rename(graph: GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in names:
                node.input[place] = names[name]
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, names)

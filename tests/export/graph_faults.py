"""Faults that exports have had, planted in a graph that is right."""

from __future__ import annotations

from pathlib import Path

import onnx


def drop_mask(graph: onnx.GraphProto, name: str) -> None:
    """Every place counts as real, whatever the mask says."""
    boolean = (
        next(each for each in graph.input if each.name == name).type.tensor_type.elem_type == onnx.TensorProto.BOOL
    )
    read = [node for node in graph.node if name in node.input]
    for node in read:
        node.input[:] = ["everything" if each == name else each for each in node.input]
    if boolean:
        made = [
            onnx.helper.make_node("Not", [name], ["nothing"]),
            onnx.helper.make_node("Or", [name, "nothing"], ["everything"]),
        ]
    else:
        graph.initializer.append(onnx.helper.make_tensor("one", onnx.TensorProto.INT64, [], [1]))
        made = [onnx.helper.make_node("Max", [name, "one"], ["everything"])]
    nodes = [*made, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def drop_last(graph: onnx.GraphProto) -> None:
    """The last operator that computes is missing: a head's last addition, a normalisation."""
    shaping = ("Unsqueeze", "Squeeze", "Reshape", "Identity", "Where", "Cast")
    last = next(node for node in reversed(graph.node) if node.op_type not in shaping)
    last.op_type = "Identity"
    del last.input[1:], last.attribute[:]


def scale_weight(graph: onnx.GraphProto, name: str) -> None:
    """A tensor that was fitted or learnt is another."""
    tensor = next(each for each in graph.initializer if each.name == name)
    values = onnx.numpy_helper.to_array(tensor) * 1.01
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype("float32"), name))


def with_fault(source: Path, target: Path, fault: object) -> Path:
    """A copy of a graph with a fault in it, which still is a valid graph."""
    model = onnx.load(str(source))
    fault(model.graph)  # type: ignore[operator]
    onnx.checker.check_model(model)
    onnx.save(model, str(target))
    return target

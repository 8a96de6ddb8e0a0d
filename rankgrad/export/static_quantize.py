"""From a float graph to an int8 graph whose activations have fixed scales."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rankgrad._checks import InputError, require
from rankgrad.export.graph_files import exceeds_one_file, read_graph
from rankgrad.export.quantize import PREPARED, left_exact, tool_output
from rankgrad.export.tools import quiet_tools, require_tool

if TYPE_CHECKING:
    from onnx import ModelProto

COARSEST = 0.25
_STEPS = 255
_WEIGHTS_FOLDER = "session.model_external_initializers_file_folder_path"


def quantize_static_onnx(
    source: str | Path, target: str | Path, runs: Sequence[Any], *, coarsest: float = COARSEST
) -> None:
    """Write a copy of a graph whose matrix multiplications are of 8 bits, with the scales of activations fixed.

    Each activation's lowest and highest value over ``runs`` become the ends of its 255 steps; what falls outside later
    is cut there. So a score does not depend on the rows it is run with, as it does after
    :func:`rankgrad.export.quantize_onnx`, and a run takes several rows at once; the ranges must fit: take texts like
    those in use, some hundred of them.

    A few outliers can stretch a range so far that the other values share a handful of steps, as behind the activation
    function of BERT's first layers. A multiplication stays in float where a step is wider than ``coarsest`` times the
    root mean square of its input. Weights are as in :func:`rankgrad.export.quantize_onnx`: signed, a scale per output
    channel, and the same ones left exact.

    Args:
        source: a graph that :func:`rankgrad.export.export_onnx` wrote.
        target: the file to write.
        runs: inputs the ranges are taken from: each a named tuple with a field for each input, a batch without padding.
        coarsest: widest step, relative to the root mean square of what is rounded.

    Raises:
        InputError: without runs, for runs without a field for each input, or where no multiplication is left to be
            rounded.
        MissingExtraError: without onnx or onnxruntime.

    Reference:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
        CVPR 2018; on outliers: Bondarenko et al., "Understanding and Overcoming the Challenges of Efficient Transformer
        Quantization", EMNLP 2021; the implementation is onnxruntime's ``quantize_static``.
    """
    if not runs:
        raise InputError("runs: static quantisation takes its ranges from them, give at least one")
    quantization = require_tool("onnxruntime.quantization")
    model = read_graph(source)
    inputs = [value.name for value in model.graph.input]
    missing = [name for name in inputs if name not in runs[0]._fields]
    if missing:
        raise InputError(f"runs: they have no field {missing[0]!r}, which the graph reads: leave out int8-static")
    kept = left_exact(model.graph)
    rounded = _read_by_products(model, kept)
    steps = _relative_steps(source, list(dict.fromkeys(rounded.values())), [_feed(run, inputs) for run in runs])
    coarse = [node for node, read in rounded.items() if steps[read] > coarsest]
    if len(coarse) == len(rounded):
        raise InputError(f"{source}: every multiplication has outliers beyond coarsest={coarsest}: nothing to round")
    model.metadata_props.add(key=PREPARED[0], value=PREPARED[1])
    with tool_output(target) as written, quiet_tools():
        quantization.quantize_static(
            model,
            str(written),
            _Feeds(iter(runs), inputs),
            op_types_to_quantize=["MatMul"],
            nodes_to_exclude=kept + coarse,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            use_external_data_format=exceeds_one_file(model.graph),
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": ["MatMul"]},
        )


def _read_by_products(model: ModelProto, kept: Sequence[str]) -> dict[str, str]:
    """The tensor that each multiplication with a constant reads, by the name of its node, without those kept."""
    weights = {weight.name for weight in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    return {node.name: node.input[0] for node in products if node.name not in kept}


def _relative_steps(
    source: str | Path, names: Sequence[str], feeds: Sequence[dict[str, np.ndarray]]
) -> dict[str, float]:
    """For each tensor the step of 255 between its ends, over its root mean square."""
    onnx, onnxruntime = require("onnx", "onnx"), require("onnxruntime", "onnx")
    shown = onnx.load(str(source), load_external_data=False)
    for name in names:
        shown.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry(_WEIGHTS_FOLDER, str(Path(source).resolve().parent))
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    ends, squares, counts = np.zeros((2, len(names))), np.zeros(len(names)), np.zeros(len(names))
    for feed in feeds:
        for place, value in enumerate(session.run(list(names), feed)):
            # 0 is always one of the steps.
            ends[:, place] = min(ends[0, place], value.min()), max(ends[1, place], value.max())
            squares[place] += np.square(value, dtype=np.float64).sum()
            counts[place] += value.size
    widths = (ends[1] - ends[0]) / _STEPS
    return dict(zip(names, (widths / np.maximum(np.sqrt(squares / counts), 1e-30)).tolist(), strict=True))


def _feed(run: Any, inputs: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: getattr(run, name) for name in inputs}


class _Feeds:
    """Hands one run after another to onnxruntime's calibration."""

    def __init__(self, runs: Iterator[Any], inputs: Sequence[str]) -> None:
        self.runs = runs
        self.inputs = inputs

    def get_next(self) -> dict[str, np.ndarray] | None:
        run = next(self.runs, None)
        return None if run is None else _feed(run, self.inputs)

"""Any module of tensors as one ONNX file: a fusion, a soft rank, a head."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, require
from rankgrad.export.graph_files import atomic_graph
from rankgrad.export.onnx import exportable
from rankgrad.export.parity import relative_difference, require_agreement
from rankgrad.export.trace import OPSET, Axes, Declared, by_place, write_graph

MakeInputs: TypeAlias = Callable[[Mapping[str, int], torch.Generator], Mapping[str, Tensor]]
"""Inputs in which each free axis has such a size."""

_SIZES = ((2, 3), (1, 1), (5, 17), (1, 40), (7, 2), (3, 128))


def export_module(
    module: nn.Module,
    example: Mapping[str, Tensor],
    path: str | Path,
    *,
    axes: Mapping[str, Axes],
    make_inputs: MakeInputs | None = None,
    smallest: Mapping[str, int] | None = None,
    tolerance: float = 1e-5,
    opset: int = OPSET,
) -> Declared:
    """Write a module of tensors as one ONNX file in float32, and compare the file with it.

    The graph is compared on random inputs of six sizes before it is put at ``path``; if it disagrees, or an axis came
    out fixed, nothing is written.

    Args:
        module: gives one tensor or a tuple of them; it is left as it was.
        example: an input by its name in ``forward``, with no free axis of size 0 or 1.
        path: the file to write; weights above 2 GB go to a second one beside it, ``<path>_data``.
        axes: of every input, then of every output, by name: names of free axes, sizes of fixed ones.
        make_inputs: draws inputs to compare on; None draws normal numbers for floats, True three times in four for
            bool (and at the first place of the last axis), and for integers values between those of the example.
        smallest: sizes that a free axis cannot be below; 1 where nothing is said.
        tolerance: largest difference allowed, relative to the largest output (but at least 1).
        opset: version of the ONNX operators.

    Raises:
        InputError: for axes that do not fit the example, or a free axis that came out fixed.
        ParityError: when the graph disagrees with the module.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
    """
    free = _check_axes(example, axes)
    reference = exportable(module)
    with atomic_graph(path) as temporary:
        declared = write_graph(reference, example, temporary, shapes=axes, opset=opset)
        session = require("onnxruntime", "onnx").InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        make = make_inputs or _maker(example, axes)
        for seed, sizes in enumerate(_SIZES):
            given = dict(zip(free, _cycled(sizes, len(free)), strict=True))
            given |= {name: max(given[name], least) for name, least in (smallest or {}).items()}
            _compare(reference, session, make(given, torch.Generator().manual_seed(seed)), axes, given, tolerance)
    return declared


def _check_axes(example: Mapping[str, Tensor], axes: Mapping[str, Axes]) -> list[str]:
    """The names of the free axes, each once, where ``axes`` begins with the inputs and goes on with outputs."""
    if list(axes)[: len(example)] != list(example) or len(axes) == len(example):
        raise InputError(
            f"axes: expected those of {', '.join(example)} and then of each output, got {', '.join(axes) or 'nothing'}"
        )
    sizes: dict[str, int] = {}
    for name, tensor in example.items():
        if len(axes[name]) != tensor.dim():
            raise InputError(f"axes: {name} has {tensor.dim()} in the example, and {len(axes[name])} are named")
        for axis, size in zip(axes[name], tensor.shape, strict=True):
            if isinstance(axis, int):
                if axis != size:
                    raise InputError(f"axes: {name} has a fixed one of {axis}, and {size} in the example")
            elif size < 2 or sizes.setdefault(axis, size) != size:
                raise InputError(f"axes: {axis!r} of {name} is {size} in the example; give one size above 1 everywhere")
    return list(sizes)


def _compare(
    module: nn.Module,
    session: Any,
    inputs: Mapping[str, Tensor],
    axes: Mapping[str, Axes],
    sizes: Mapping[str, int],
    tolerance: float,
) -> None:
    placed = by_place(module, inputs)
    with torch.inference_mode():
        named = {name: each for name, each in inputs.items() if name not in placed}
        expected = module(*(inputs[name] for name in placed), **named)
    feeds = {each.name: inputs[each.name].numpy() for each in session.get_inputs()}
    outputs = [name for name in axes if name not in inputs]
    together = (expected,) if isinstance(expected, Tensor) else tuple(expected)
    for name, one, other in zip(outputs, together, session.run(outputs, feeds), strict=True):
        difference = relative_difference(one.numpy().astype(np.float64), other.astype(np.float64))
        shapes = f"{name} is {tuple(one.shape)} and {other.shape},"
        require_agreement(
            difference, tolerance, f"the exported graph disagrees with the module at {dict(sizes)}: {shapes}"
        )


def _maker(example: Mapping[str, Tensor], axes: Mapping[str, Axes]) -> MakeInputs:
    """Random inputs like the example's."""

    def make(sizes: Mapping[str, int], generator: torch.Generator) -> dict[str, Tensor]:
        made = {}
        for name, like in example.items():
            shape = [axis if isinstance(axis, int) else sizes[axis] for axis in axes[name]]
            if like.dtype == torch.bool:
                made[name] = torch.rand(shape, generator=generator) < 0.75
                made[name][..., 0] = True
            elif like.is_floating_point():
                made[name] = torch.randn(shape, generator=generator)
            else:
                low, high = int(like.min()), int(like.max())
                made[name] = torch.randint(low, high + 1, shape, generator=generator, dtype=like.dtype)
        return made

    return make


def _cycled(sizes: Sequence[int], count: int) -> list[int]:
    return [sizes[place % len(sizes)] for place in range(count)]

"""The graphs that a bundle may hold beside the plain one, and how each is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export.calibration import calibration_runs
from rankgrad.export.half import halve_onnx
from rankgrad.export.optimize import optimize_onnx
from rankgrad.export.parity import Lists, ParityError, check_shapes
from rankgrad.export.quantize import quantize_onnx
from rankgrad.export.reference import Ranker
from rankgrad.export.static_quantize import quantize_static_onnx
from rankgrad.export.subject import Subject
from rankgrad.export.weight_only import quantize_weights_onnx
from rankgrad.types import VARIANTS, Variant

FILES: dict[Variant, str] = {
    "fp32": "onnx/model.onnx",
    "int8": "onnx/model_quantized.onnx",
    "int8-static": "onnx/model_int8_static.onnx",
    "fp16": "onnx/model_fp16.onnx",
    "optimized": "onnx/model_O2.onnx",
    "int4": "onnx/model_q4.onnx",
}
"""Where each is: the names under which sentence-transformers, optimum, infinity and transformers.js look for them."""


HALF_TOLERANCE = 0.02
"""Half precision rounds by 2 ** -11 a step; an overflow, or a mask that fails, is far beyond this."""


def chosen_variants(names: Sequence[str]) -> tuple[Variant, ...]:
    """The variants asked for, each once, in the order of the list; ``fp32`` is always written and may be named.

    Raises:
        TypeError: for a bare string.
        InputError: for a name that is not known.

    Example:
        >>> chosen_variants(["fp16", "int8", "fp32"])
        ('int8', 'fp16')
    """
    if isinstance(names, str):
        raise TypeError(f"variants: expected a sequence of names, got one string: pass ({names!r},)")
    unknown = [name for name in names if name not in VARIANTS]
    if unknown:
        raise InputError(f"variants: {unknown[0]!r} is not known: choose from {', '.join(VARIANTS)}")
    return tuple(variant for variant in VARIANTS if variant in names and variant != "fp32")


def write_variant(
    variant: Variant, model: Ranker | Subject, folder: Path, lists: Lists, *, tolerance: float
) -> dict[str, Any]:
    """Make a variant's graph of the plain one; one in floating point is compared with torch on random tokens.

    Args:
        variant: which; not ``fp32``.
        model: what was exported.
        folder: the bundle; the plain graph is there already.
        lists: queries with documents, of which static quantisation takes its ranges.
        tolerance: largest difference of the optimized graph's output to torch's, relative to the largest output (but at
            least 1); of the fp16 graph's it is ``HALF_TOLERANCE``.

    Returns:
        what ``rankgrad.json`` says of this graph beside its file.

    Raises:
        ParityError: for a graph in floating point that disagrees with torch.
        InputError: for a graph of which the variant cannot be made.
        MissingExtraError: without onnx or onnxruntime.
    """
    source, target = folder / FILES["fp32"], folder / FILES[variant]
    match variant:
        case "int8":
            quantize_onnx(source, target)
        case "int8-static":
            quantize_static_onnx(source, target, calibration_runs(model, lists))
        case "fp16":
            halve_onnx(source, target)
            _check(model, target, tolerance=HALF_TOLERANCE)
        case "optimized":
            fused = optimize_onnx(source, target)
            _check(model, target, tolerance=tolerance)
            return {"fused": fused}
        case "int4":
            quantize_weights_onnx(source, target)
    return {}


def _check(model: Ranker | Subject, path: Path, *, tolerance: float) -> None:
    try:
        check_shapes(model, deploy.Graph(path, threads=1), tolerance=tolerance)
    except ParityError as error:
        raise ParityError(f"{path.name}: {error}") from None

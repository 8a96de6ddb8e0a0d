"""Scores of different scorers made comparable."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.fuse.align import as_numbers
from rankgrad.ops import hard_rank
from rankgrad.ops._arguments import accumulate, check_positive, real_items

# Below this share of the largest score, a spread is rounding.
_ROUNDING = 1e-7
Normalisation: TypeAlias = Literal["none", "min_max", "z_score", "three_sigma", "sum", "rank", "quantile", "sigmoid"]


def normalise(
    scores: Tensor,
    mask: Tensor | None = None,
    *,
    method: Normalisation,
    temperature: float | Tensor = 1.0,
    clip: float | None = None,
    ranks: Tensor | None = None,
) -> Tensor:
    """Scores of each list on a common scale; real items of one list never look at another's.

    Of n real items with scores s and ranks r:

    - ``"none"``: s.
    - ``"min_max"``: ``(s - min) / (max - min)``; 1 where all are equal.
    - ``"z_score"``: ``(s - mean) / deviation`` (divisor n); 0 where all are equal.
    - ``"three_sigma"``: ``(s - mean + 3 sigma) / (6 sigma)`` (divisor n - 1); 1/2 where all are equal.
    - ``"sum"``: ``(s - min) / sum (s - min)``; ``1 / n`` where all are equal.
    - ``"rank"``: ``1 - (r - 1) / n``. No gradient unless ``ranks`` carry one.
    - ``"quantile"``: ``(n - r) / (n - 1)``, the share of the others below; 1/2 for a single item. Likewise.
    - ``"sigmoid"``: ``1 / (1 + exp(-s / temperature))``.

    Args:
        scores: higher is better.
        mask: True = a real item; masked ones come back as 0.
        method: see above.
        temperature: of ``"sigmoid"``; a tensor that broadcasts takes a gradient.
        clip: results of ``"z_score"`` are cut to ``[-clip, clip]``; None = not.
        ranks: 1-based; None takes them from the scores, of equal ones the lower index first.

    Shape:
        ``[..., items]`` -> ``[..., items]``, float32 (float64 for float64).

    Raises:
        InputError: for an unknown method, a mask of another shape, an infinite score (on all but ranks), or a clip of 0
            or less or of another method than ``"z_score"``.
        TypeError: for scores that are not floating point or a mask that is not bool.

    Example:
        >>> import torch
        >>> normalise(torch.tensor([8.0, 4.0, 2.0]), method="min_max")
        tensor([1.0000, 0.3333, 0.0000])
        >>> normalise(torch.tensor([8.0, 4.0, 2.0]), method="quantile")
        tensor([1.0000, 0.5000, 0.0000])
    """
    check_normalisation(method, temperature, clip)
    mask = real_items(scores, mask)
    values = accumulate(scores, "scores").masked_fill(~mask, 0.0)
    if ranks is None and method in ("rank", "quantile"):
        ranks = hard_rank(values, mask=mask)
    real = as_numbers(mask, values.dtype)
    return normalise_clean(values, real, method=method, temperature=temperature, clip=clip, ranks=ranks)


def normalise_clean(
    values: Tensor,
    real: Tensor,
    *,
    method: Normalisation,
    temperature: float | Tensor = 1.0,
    clip: float | None = None,
    ranks: Tensor | None = None,
) -> Tensor:
    """:func:`normalise` of floating-point scores that are 0 where ``real`` is 0, not 1; ranks are given if needed.

    Raises:
        InputError: for an infinite score (on all but ranks).
    """
    count = real.sum(dim=-1, keepdim=True)
    if values.shape[-1] == 0:
        return values
    if ranks is not None and method == "rank":
        return (1 - (ranks - 1) / count.clamp(min=1)) * real
    if ranks is not None and method == "quantile":
        return ((count - ranks) / (count - 1).clamp(min=1)).masked_fill(count == 1, 0.5) * real
    largest = values.detach().abs().amax(dim=-1, keepdim=True)
    exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
    if not exporting and bool(largest.isinf().any()):
        raise InputError('scores: an infinite one has no place on a scale: leave it out, or take "rank" or "quantile"')
    if method == "none":
        return values
    if method == "sigmoid":
        return (values / temperature).sigmoid() * real
    if method in ("min_max", "sum"):
        return _above_lowest(values, real, count, largest, method) * real
    return _deviations(values, real, count, largest, method, clip) * real


def check_normalisation(method: str, temperature: float | Tensor = 1.0, clip: float | None = None) -> None:
    """Refuse an unknown method and options out of range.

    Example:
        >>> check_normalisation("max")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: normalisation: expected one of none, min_max, z_score, three_sigma, sum, rank, \
quantile, sigmoid, got 'max'
    """
    if method not in get_args(Normalisation):
        raise InputError(f"normalisation: expected one of {', '.join(get_args(Normalisation))}, got {method!r}")
    if not isinstance(temperature, Tensor):
        check_positive(temperature, "temperature")
    if clip is not None:
        check_positive(clip, "clip")
        if method != "z_score":
            raise InputError(f"clip={clip} cuts z-scores, not {method!r}: leave it out, or pass 'z_score'")


def lowest_of(values: Tensor, real: Tensor, largest: Tensor) -> Tensor:
    """The least real value of each list, ``[..., 1]``; ``largest`` is what no absolute value exceeds."""
    # What is masked counts as the largest.
    return (values + (1 - real) * largest).amin(dim=-1, keepdim=True)


def _above_lowest(values: Tensor, real: Tensor, count: Tensor, largest: Tensor, method: str) -> Tensor:
    above = (values - lowest_of(values, real, largest)) * real
    whole = above.amax(dim=-1, keepdim=True) if method == "min_max" else above.sum(dim=-1, keepdim=True)
    flat = whole == 0
    equal = as_numbers(flat, values.dtype)
    share = equal if method == "min_max" else equal / count.clamp(min=1)
    return above / whole.masked_fill(flat, 1.0) * (1 - equal) + share


def _deviations(
    values: Tensor, real: Tensor, count: Tensor, largest: Tensor, method: str, clip: float | None
) -> Tensor:
    divisor = count if method == "z_score" else count - 1
    distance = (values - values.sum(dim=-1, keepdim=True) / count.clamp(min=1)) * real
    variance = distance.square().sum(dim=-1, keepdim=True) / divisor.clamp(min=1)
    # Equal scores whose mean rounds have a spread of rounding errors, which must not become whole deviations.
    flat = variance <= (largest * _ROUNDING).square()
    scaled = distance / variance.masked_fill(flat, 1.0).sqrt() * (1 - as_numbers(flat, values.dtype))
    if method == "three_sigma":
        return (scaled + 3) / 6
    return scaled if clip is None else scaled.clamp(-clip, clip)

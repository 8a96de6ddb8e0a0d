"""Projections on a permutahedron: soft ranks and soft sorting."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops import sorted_order
from rankgrad.ops._arguments import accumulate, as_lists
from rankgrad.ops._dispatch import Backend, Implementation
from rankgrad.ops._order import stable_order
from rankgrad.ops.isotonic import library, projection_library, reference
from rankgrad.ops.isotonic.problem import (
    Regularization,
    block_sum,
    find_blocks,
    implementation,
    is_logarithmic,
    masked_lists,
    unsort,
    wide,
)


def ranks(
    values: Tensor,
    mask: Tensor,
    temperature: float,
    *,
    regularization: Regularization = "l2",
    backend: Backend = "auto",
) -> Tensor:
    """1-based soft ranks, rank 1 the highest: the projection of ``-values / temperature`` on the orders of 1 to n.

    ``docs/ops/isotonic.md`` derives them. The ranks of n real items sum to ``n (n + 1) / 2``. With ``"l2"`` they are
    the hard ranks, and their gradient 0, where no two values are closer than ``temperature``; with ``"kl"`` where none
    are closer than ``temperature log 2``. Equal values share a rank.

    Args:
        values: what is ranked. Infinite values rank beyond all finite ones (not with ``"reference"``).
        mask: True = a real item; masked items get rank 0 and zero gradient, and count for nobody.
        temperature: softness, in the units of ``values``; above 0.
        regularization: ``"l2"``, or ``"kl"``, whose ranks are smooth between changes of the blocks.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks; NaN at every real item of a list in which a real item is NaN.

    Reference:
        Blondel, Teboul, Berthet, Djolonga: Fast differentiable sorting and ranking, ICML 2020.

    Example:
        >>> ranks(torch.tensor([[2.0, 5.0, 2.5]]), torch.ones(1, 3, dtype=torch.bool), 1.0)
        tensor([[2.7500, 1.0000, 2.2500]])
    """
    logarithmic = is_logarithmic(regularization)
    values = accumulate(values, "values")
    path = implementation(backend, values, op="soft_rank")
    if _is_whole(path, values):
        return _whole(values, mask, temperature, ranks=True, logarithmic=logarithmic)
    scaled, real, order, wrong = _descending(-values / temperature, mask, path)
    hard = _falling_places(scaled, real)
    if logarithmic:
        logarithms = hard.clamp(min=1).log()
        deviation, first = _project(scaled, logarithms, real, logarithmic=True, path=path)
        result = (deviation + logarithms).exp() if first is None else deviation.exp() * hard.gather(-1, first)
    else:
        deviation, first = _project(scaled, hard, real, logarithmic=False, path=path)
        result = deviation + (hard if first is None else hard.gather(-1, first))
    return unsort(result, order).masked_fill(wrong, float("nan")).masked_fill(~mask, 0.0)


def sorted_values(
    values: Tensor,
    mask: Tensor,
    temperature: float,
    *,
    regularization: Regularization = "l2",
    backend: Backend = "auto",
) -> Tensor:
    """Values in descending order, softly: the projection of ``(n, ..., 1) / temperature`` on the orders of the values.

    They are the sorted values where no two neighbours in the order are farther apart than ``1 / temperature``.

    Args:
        values: what is sorted.
        mask: True = a real item; masked items sort to the end as 0.
        temperature: softness, in units of one over ``values``; above 0.
        regularization: ``"l2"`` or ``"kl"``.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.

    Shape:
        ``[..., items]``, float32 (float64 for float64).
    """
    logarithmic = is_logarithmic(regularization)
    values = accumulate(values, "values")
    path = implementation(backend, values, op="soft_sort")
    if _is_whole(path, values):
        return _whole(values, mask, temperature, ranks=False, logarithmic=logarithmic)
    ordered, real, _, wrong = _descending(values, mask, path)
    places = (_falling_places(ordered, real) / temperature).masked_fill(~real, 0.0)
    deviation, first = _project(places, ordered, real, logarithmic=logarithmic, path=path)
    result = deviation + (ordered if first is None else ordered.detach().gather(-1, first))
    return result.masked_fill(wrong, float("nan")).masked_fill(~real, 0.0)


def _is_whole(path: Implementation, values: Tensor) -> bool:
    """Does one operator do it all? On other devices the parts are composed."""
    return path == "tiled" and values.device.type in ("cpu", "meta")


def _whole(values: Tensor, mask: Tensor, temperature: float, *, ranks: bool, logarithmic: bool) -> Tensor:
    lists, flags = as_lists(values), as_lists(mask)
    found = projection_library.projection(lists, flags, temperature, ranks=ranks, logarithmic=logarithmic)
    return found.view(values.shape)


def _descending(x: Tensor, mask: Tensor, path: Implementation) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Values in descending order, which of them are real, the order, and lists ``[..., 1]`` that hold NaN."""
    wrong = masked_lists(x, mask, finite=False)
    # Infinite values rank beyond all others and can still be added up.
    limit = torch.finfo(x.dtype).max / (4 * max(x.shape[-1], 1))
    bounded = x.masked_fill(wrong | ~mask, 0.0).clamp(-limit, limit)
    if path == "triton":
        ordered, order = sorted_order.sorted_lists(bounded, mask, backend="triton")
        return ordered, mask.gather(-1, order), order, wrong
    keys = bounded.detach().masked_fill(~mask, float("-inf"))
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        order = stable_order(keys, descending=True)
    else:
        order = library.order_op(keys)
    return bounded.gather(-1, order), mask.gather(-1, order), order, wrong


def _falling_places(x: Tensor, real: Tensor) -> Tensor:
    """``n, ..., 1`` at the real items, 0 after them."""
    places = torch.arange(x.shape[-1], device=x.device, dtype=x.dtype)
    return (real.sum(dim=-1, keepdim=True) - places).masked_fill(~real, 0.0)


def _project(
    z: Tensor, onto: Tensor, real: Tensor, *, logarithmic: bool, path: Implementation
) -> tuple[Tensor, Tensor | None]:
    """Project ``z`` on the permutahedron of ``onto``, or log of that of exponentials; both in descending order.

    With B the blocks in which the mean of ``onto - z`` rises, the projection is ``z - mean_B(z) + mean_B(onto)``.

    Returns:
        What is to be added to ``onto`` at the first item of the block, and that first item; for the reference what is
        to be added to ``onto`` at the item itself, and None.
    """
    if path == "reference":
        numerators = (onto if logarithmic else onto - z).masked_fill(~real, float("inf"))
        weights = z if logarithmic else torch.ones_like(z)
        rising = reference.regression(numerators, weights, logarithmic=logarithmic).masked_fill(~real, 0.0)
        return z + rising - onto, None
    numerators = wide(onto) if logarithmic else wide(onto) - wide(z)
    numerators = numerators.masked_fill(~real, float("inf"))
    blocks = find_blocks(numerators, z if logarithmic else None, logarithmic=logarithmic, path=path)
    first, end = blocks.long()
    # The first item of a block is its highest: nothing overflows, and an item alone in its block deviates by exactly 0.
    own = z - z.detach().gather(-1, first)
    target = onto - onto.detach().gather(-1, first)
    if logarithmic:
        totals = block_sum(target.exp(), blocks, path=path) / block_sum(own.exp(), blocks, path=path)
        return own + totals.log(), first
    return own + block_sum(target - own, blocks, path=path) / (end - first), first

"""What every use of isotonic regression asks: which implementation, which blocks, which sums over them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from rankgrad._checks import InputError
from rankgrad.ops._arguments import as_lists
from rankgrad.ops._dispatch import Backend, Implementation, resolve_backend
from rankgrad.ops.isotonic import launch, library

Regularization: TypeAlias = Literal["l2", "kl"]


def is_logarithmic(regularization: Regularization) -> bool:
    """Are means taken of exponentials?

    Raises:
        InputError: for a regularization that is neither.
    """
    if regularization not in ("l2", "kl"):
        raise InputError(f'regularization: expected "l2" or "kl", got {regularization!r}')
    return regularization == "kl"


def implementation(backend: Backend, x: Tensor, *, op: str) -> Implementation:
    """Triton where it can hold the list; else, unless it was asked for, the merging of halves in plain torch."""
    path = resolve_backend(backend, x.device, op=op, dtype=x.dtype, kernels=True, compiles=True)
    if path == "triton" and x.shape[-1] > launch.LONGEST:
        if backend == "triton":
            raise InputError(
                f'backend: "triton" cannot run: its kernels hold lists of at most {launch.LONGEST} items, got '
                f'{x.shape[-1]}; use "auto"'
            )
        return "tiled"
    return path


def find_blocks(numerators: Tensor, weights: Tensor | None, *, logarithmic: bool, path: Implementation) -> Tensor:
    """First item and end of each item's block, ``[2, ..., items]`` int32; see :func:`tree.blocks`."""
    flat = as_lists(numerators.detach())
    flat_weights = None if weights is None else as_lists(weights.detach())
    found = library.blocks_op(flat, flat_weights, logarithmic, path == "triton")
    return found.view(2, *numerators.shape)


def block_sum(x: Tensor, blocks: Tensor, *, path: Implementation) -> Tensor:
    """At every item the sum of ``x`` over its block."""
    flat = as_lists(x)
    return library.block_sum_op(flat, blocks.reshape(2, *flat.shape), path == "triton").view(x.shape)


def wide(x: Tensor) -> Tensor:
    """Without gradient, and on a CPU in float64, in which blocks are told apart there."""
    x = x.detach()
    return x.double() if x.device.type == "cpu" else x


def masked_lists(x: Tensor, mask: Tensor, *, finite: bool) -> Tensor:
    """Lists ``[..., 1]`` in which a real item is NaN, or not finite."""
    wrong = ~x.isfinite() if finite else x.isnan()
    return (wrong & mask).any(dim=-1, keepdim=True)


def unsort(x: Tensor, order: Tensor) -> Tensor:
    """Back to the places that ``gather`` with ``order`` took the items from."""
    return torch.zeros_like(x).scatter(-1, order, x)

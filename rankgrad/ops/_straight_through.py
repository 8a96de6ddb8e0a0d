"""One tensor's value with another's gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad._checks import InputError


@torch.library.custom_op("rankgrad::straight_through", mutates_args=())
def straight_through_op(hard: Tensor, soft: Tensor) -> Tensor:
    """A copy of ``hard``, whose gradient ``soft`` receives."""
    return hard.clone(memory_format=torch.contiguous_format)


@straight_through_op.register_fake
def _(hard: Tensor, soft: Tensor) -> Tensor:
    return torch.empty_like(hard, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.dtype = inputs[1].dtype


def _backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
    return None, gradient.to(ctx.dtype)


straight_through_op.register_autograd(_backward, setup_context=_setup)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """``hard``, bit for bit, with the gradient of ``soft``.

    ``soft + (hard - soft).detach()`` would round, and a compiler may round it once more. Whatever ``soft`` holds, NaN
    included, is not in the value; export takes ``hard`` alone.

    Args:
        hard: the value; takes no gradient.
        soft: what the upstream gradient goes to, unchanged.

    Shape:
        the same for both, and the result.

    Raises:
        InputError: for two shapes.

    Reference:
        Bengio, Léonard, Courville: Estimating or propagating gradients through stochastic neurons for conditional
        computation, arXiv:1308.3432, 2013.

    Example:
        >>> soft = torch.tensor([0.9, 0.1], requires_grad=True)
        >>> value = straight_through(torch.tensor([1.0, 0.0]), soft)
        >>> value.detach(), torch.autograd.grad(value @ torch.tensor([2.0, 3.0]), soft)
        (tensor([1., 0.]), (tensor([2., 3.]),))
    """
    if hard.shape != soft.shape:
        raise InputError(f"hard: expected the shape of soft {list(soft.shape)}, got {list(hard.shape)}")
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return hard
    return straight_through_op(hard, soft)

"""Hard ranks with the gradient of an interpolation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rankgrad.ops._bounded import bounded, marked
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.ranking import hard_rank

# Beyond these the temperature or its inverse would leave float32.
_LEAST, _MOST = 1e-37, 1e37


@torch.library.custom_op("rankgrad::blackbox_rank", mutates_args=())
def blackbox_rank_op(values: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """Hard ranks of finite ``values [..., n]``, those of ties averaged."""
    return hard_rank(values, mask=mask, ties="average").contiguous()


@blackbox_rank_op.register_fake
def _(values: Tensor, mask: Tensor, temperature: float) -> Tensor:
    return torch.empty_like(values, memory_format=torch.contiguous_format)


def _setup(ctx: Any, inputs: tuple[Tensor, Tensor, float], output: Tensor) -> None:
    values, mask, ctx.temperature = inputs
    ctx.save_for_backward(values, mask, output)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
    values, mask, found = ctx.saved_tensors
    moved = hard_rank(values + ctx.temperature * gradient, mask=mask, ties="average")
    return (moved - found) / ctx.temperature, None, None


blackbox_rank_op.register_autograd(_backward, setup_context=_setup)


def ranks(x: Tensor, mask: Tensor | None, temperature: float, *, backend: Backend = "auto") -> Tensor:
    """The hard ranks, rank 1 the highest, with the gradient of an interpolation of them.

    Ranks are the order of 1 to n that minimises ``sum_i x_i r_i``. For such a minimiser the paper replaces the loss, as
    a function of x, by a piecewise linear one that agrees with it at x; for an upstream gradient g its gradient is
    ``(rank(x + temperature g) - rank(x)) / temperature``, the temperature being the paper's lambda. An item whose rank
    is to fall has g above 0, is moved up, and its gradient is negative: a step against the gradient raises it. Over a
    list the gradient sums to 0. ``docs/ops/perturbed.md`` shows where it comes from.

    The result is hard at any temperature; the temperature is that of the gradient alone. It vanishes where
    ``temperature g`` moves no item past another: where, for all pairs, ``temperature (g_j - g_i)`` is below the gap
    ``x_i - x_j``. So the temperature must fit the size of upstream gradients, which a loss divides by the number of
    lists where it takes the mean; gaps over typical differences of g are a start.

    Args:
        x: what is ranked. Infinite values rank beyond all finite ones and take no gradient.
        mask: True = a real item; masked items get rank 0 and zero gradient, and count for nobody.
        temperature: values over upstream gradients; above 0.
        backend: ``"auto"`` or ``"reference"``, which are the same here.

    Shape:
        ``[..., items]``, float32 (float64 for float64).

    Returns:
        The ranks, the mean of them where values are equal; NaN at every real item of a list in which a real item is
        NaN.

    Raises:
        InputError: for ``backend="triton"``.

    Reference:
        Vlastelica, Paulus, Musil, Martius, Rolínek: Differentiation of blackbox combinatorial solvers, ICLR 2020.
        Rolínek, Musil, Paulus, Vlastelica, Michaelis, Martius: Optimizing rank-based metrics with blackbox
        differentiation, CVPR 2020.

    Example:
        >>> x = torch.tensor([3.0, 1.0, 2.0], requires_grad=True)
        >>> found = ranks(x, None, 1.5)
        >>> found.detach(), torch.autograd.grad(found[1], x)
        (tensor([1., 3., 2.]), (tensor([ 0.0000, -0.6667,  0.6667]),))
    """
    resolve_backend(backend, x.device, op='soft_rank(method="blackbox")')
    lists = bounded(x, mask)
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        # A graph must hold plain operators, and is not differentiated.
        return marked(hard_rank(lists.values, mask=lists.real, ties="average"), lists)
    temperature = min(max(temperature, _LEAST), _MOST)
    return marked(blackbox_rank_op(lists.values, lists.real, temperature), lists)

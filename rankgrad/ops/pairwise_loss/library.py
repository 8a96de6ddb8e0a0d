"""Losses of pairs as one operator of torch: opaque to the compiler; the gradient is made with the value and kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankgrad.ops._arguments import accumulate, as_lists
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops._order import readable
from rankgrad.ops.pairwise_loss import launch, reference, tiled
from rankgrad.ops.pairwise_loss.reference import PairOptions

DEFAULT = PairOptions()


@torch.library.custom_op("rankgrad::pairwise_loss", mutates_args=())
def pairwise_loss_op(
    scores: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    weights: Tensor | None,
    link: str,
    margin: float,
    pairs: str,
    swap: float,
    gap: float,
    k: int,
    gradient: bool,
    triton: bool,
) -> tuple[Tensor, Tensor]:
    """Values of ``scores [lists, n]`` in their dtype, and slopes ``[lists, n]``, or ``[lists, 0]`` when not asked."""
    options = PairOptions(link, margin, pairs, swap, gap, k)  # type: ignore[arg-type]
    return (launch if triton else tiled).losses(scores, keys, mask, weights, options, gradient=gradient)


@pairwise_loss_op.register_fake
def _(
    scores: Tensor,
    keys: Tensor,
    mask: Tensor | None,
    weights: Tensor | None,
    link: str,
    margin: float,
    pairs: str,
    swap: float,
    gap: float,
    k: int,
    gradient: bool,
    triton: bool,
) -> tuple[Tensor, Tensor]:
    return scores.new_empty(scores.shape[0]), scores.new_empty((scores.shape[0], scores.shape[1] if gradient else 0))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])


def _backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    (slopes,) = ctx.saved_tensors
    return upstream.unsqueeze(1) * slopes, *([None] * 11)


pairwise_loss_op.register_autograd(_backward, setup_context=_setup)


class _Eager(torch.autograd.Function):
    """The operator on a CPU without its bookkeeping, which for short lists takes longer than the work."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        keys: Tensor,
        mask: Tensor | None,
        weights: Tensor | None,
        options: PairOptions,
        gradient: bool,
    ) -> Tensor:
        values, slopes = tiled.losses(scores, keys, mask, weights, options, gradient=gradient)
        ctx.save_for_backward(slopes)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return upstream.unsqueeze(1) * slopes, None, None, None, None, None


def pairwise_losses(
    scores: Tensor,
    keys: Tensor,
    mask: Tensor | None = None,
    *,
    weights: Tensor | None = None,
    options: PairOptions = DEFAULT,
    backend: Backend = "auto",
) -> Tensor:
    """``sum_ij amount_ij link(s_i - s_j)`` over the pairs of real items of each list; ``options`` say which amount.

    No n x n tensor is held except while exporting: values and gradient are made together, a tile of pairs at a time, by
    Triton kernels on CUDA.
    Results repeat bit for bit. Scores beyond 2^100 (2^1000 in float64) count as that and take no gradient.

    Args:
        scores: higher is better.
        keys: what ``options.pairs`` compares.
        mask: True = a real item.
        weights: of an item, for the pairs that prefer it.
        options: the link and the amounts.
        backend: ``"auto"``, ``"triton"`` or ``"reference"``, which holds the n x n matrices.

    Shape:
        ``[..., n]`` -> ``[...]``, float32 (float64 for float64).

    Returns:
        The sums; NaN for a list in which a real score is NaN. Differentiable once, in the scores.

    Raises:
        InputError: for a backend that cannot run.
        TypeError: for scores that are not floating point.

    Example:
        >>> pairwise_losses(torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0.0, 2.0, 1.0]))
        tensor(3.7535)
    """
    scores = accumulate(scores, "scores")
    keys = keys.to(scores.dtype).detach()
    path = resolve_backend(
        backend, scores.device, op="pairwise_losses", dtype=scores.dtype, kernels=True, compiles=True
    )
    if path == "reference":
        return reference.losses(scores, keys, mask, weights, options)
    gradient = torch.is_grad_enabled() and scores.requires_grad
    mask, weights = (None if x is None else as_lists(x.detach()) for x in (mask, weights))
    weights = None if weights is None else weights.to(scores.dtype)
    operands = as_lists(scores), as_lists(keys), mask, weights
    if path == "tiled" and readable(scores):
        values: Tensor = _Eager.apply(*operands, options, gradient)
    else:
        values, _ = pairwise_loss_op(*operands, *options, gradient, path == "triton")
    return values.view(scores.shape[:-1])

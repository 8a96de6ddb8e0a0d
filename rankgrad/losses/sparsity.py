"""What keeps sparse encoders sparse."""

from __future__ import annotations

from torch import Tensor, nn

from rankgrad.ops._arguments import accumulate, check_device, check_mask


def flops_penalty(activations: Tensor, mask: Tensor | None = None) -> Tensor:
    """The operations that a product of two texts' sparse vectors takes, made smooth.

    ``sum_v (mean_b |a_bv|)^2`` over the terms v and texts b: of two vectors with the same sum the one that others do
    not share costs less, so that inverted lists become equally long.

    Args:
        activations: weights of terms.
        mask: True = a real text; None = all.

    Shape:
        activations ``[..., terms]``, mask ``[...]`` -> ``[]``, float32 (float64 for float64).

    Raises:
        InputError: for a mask of another shape.
        TypeError: for activations that are not floating point or a mask that is not bool.

    Reference:
        Paria, Yeh, Yen, Xu, Ravikumar, Póczos: Minimizing FLOPs to learn efficient sparse representations, ICLR 2020.

    Example:
        >>> import torch
        >>> flops_penalty(torch.tensor([[2.0, 0.0], [0.0, 2.0]])), flops_penalty(torch.tensor([[2.0, 0.0], [2.0, 0.0]]))
        (tensor(2.), tensor(4.))
    """
    sizes, count = _sizes(activations, mask)
    return (sizes.sum(dim=0) / count).square().sum()


def l1_penalty(activations: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean over texts of the sum of their absolute weights.

    Args:
        activations: weights of terms.
        mask: True = a real text; None = all.

    Shape:
        activations ``[..., terms]``, mask ``[...]`` -> ``[]``, float32 (float64 for float64).

    Raises:
        InputError: for a mask of another shape.
        TypeError: for activations that are not floating point or a mask that is not bool.

    Reference:
        Tibshirani: Regression shrinkage and selection via the lasso, Journal of the Royal Statistical Society B 58,
        1996.

    Example:
        >>> import torch
        >>> l1_penalty(torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
        tensor(1.5000)
    """
    sizes, count = _sizes(activations, mask)
    return sizes.sum() / count


def _sizes(activations: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | int]:
    """Absolute weights ``[texts, terms]``, 0 for texts that are not real, and the number of real texts, at least 1."""
    sizes = accumulate(activations, "activations").abs()
    if mask is None:
        flat = sizes.unsqueeze(0).flatten(0, -2)
        return flat, max(len(flat), 1)
    check_mask(mask, activations.shape[:-1])
    check_device(mask, "mask", activations, "activations")
    return sizes.masked_fill(~mask.unsqueeze(-1), 0.0).unsqueeze(0).flatten(0, -2), mask.sum().clamp(min=1)


class FlopsPenalty(nn.Module):
    """:func:`flops_penalty` times a factor.

    Example:
        >>> import torch
        >>> FlopsPenalty(0.5)(torch.tensor([[2.0, 0.0], [2.0, 0.0]]))
        tensor(2.)
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, activations: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.factor * flops_penalty(activations, mask)


class L1Penalty(nn.Module):
    """:func:`l1_penalty` times a factor.

    Example:
        >>> import torch
        >>> L1Penalty(2.0)(torch.tensor([[2.0, 0.0], [0.0, -1.0]]))
        tensor(3.)
    """

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, activations: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.factor * l1_penalty(activations, mask)

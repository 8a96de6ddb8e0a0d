"""Products with relaxed permutations before their rows are normalised, and the gradients of the products.

``docs/ops/relaxed_permutation.md`` derives the gradients: they are such products again.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rankgrad.ops.relaxed_permutation import launch, scans, tiles


def multiply(
    ordered: Tensor,
    weights: Tensor,
    temperature: float,
    kind: str,
    *,
    transpose: bool,
    moments: bool,
    triton: bool,
) -> tuple[Tensor, Tensor | None]:
    """``sum_j E_kj w_j`` or, transposed, ``sum_i E_ik w_i``, and a moment for the gradient of ``ordered``.

    Args:
        ordered: values in descending order, ``[lists, n]``.
        weights: ``[lists, dim, n]``.
        temperature: above 0.
        kind: which E: ``"laplace"``, ``"square"`` (SoftSort with power 1 and 2) or ``"neuralsort"``.
        transpose: sum over rows; the same for the two that are symmetric.
        moments: also give ``sum_j sign(s_j - s_k) E_kj w_j`` (Laplace), ``sum_j (u_j - u_k) E_kj w_j`` (square) or,
            transposed, ``sum_i (k - i) E_ik w_i`` (NeuralSort).
        triton: by kernels.

    Example:
        >>> options = {"transpose": False, "moments": False, "triton": False}
        >>> multiply(torch.tensor([[2.0, 1.0]]), torch.ones(1, 1, 2), 1.0, "laplace", **options)[0]
        tensor([[[1.3679, 1.3679]]])
    """
    if triton:
        return launch.multiply(ordered, weights, temperature, kind, transpose=transpose, moments=moments)
    if kind == "laplace":
        return scans.multiply(ordered, weights, temperature, moments=moments)
    return tiles.multiply(ordered, weights, temperature, square=kind == "square", transpose=transpose, moments=moments)


def gradients(
    upstream: Tensor, ordered: Tensor, weights: Tensor, temperature: float, kind: str, *, transpose: bool, triton: bool
) -> tuple[Tensor, Tensor]:
    """Of ``ordered`` and of ``weights``. NeuralSort's leaves out what every normalised row cancels."""

    def product(weights: Tensor, transpose: bool, moments: bool) -> tuple[Tensor, Tensor]:
        found, moment = multiply(
            ordered, weights, temperature, kind, transpose=transpose, moments=moments, triton=triton
        )
        return found, found if moment is None else moment

    if kind != "neuralsort":
        dim = weights.shape[1]
        both, moments = product(torch.cat([weights, upstream], dim=1), False, True)
        scale = 1 / temperature if kind == "laplace" else 2 / math.sqrt(temperature)
        pulls = (upstream * moments[:, :dim] + weights * moments[:, dim:]).sum(dim=1)
        return pulls.mul_(scale), both[:, dim:].contiguous()
    if transpose:
        result, _ = product(upstream, False, False)
        found, moment = product(weights, True, True)
        column, moment = (upstream * found).sum(dim=1), (upstream * moment).sum(dim=1)
    else:
        result, moment = product(upstream, True, True)
        column, moment = (weights * result).sum(dim=1), (weights * moment).sum(dim=1)
    return _neuralsort_gradient(ordered, column, moment).div_(temperature), result.contiguous()


def _neuralsort_gradient(ordered: Tensor, column: Tensor, moment: Tensor) -> Tensor:
    """From ``sum_i M_ik`` and ``sum_i (k - i) M_ik``, M the gradient of the exponents; equal items pull on no other."""
    first, last = scans.ties(ordered)
    sums = torch.nn.functional.pad(column.double().cumsum(dim=1), (1, 0))
    above, below = sums.gather(1, first), sums[:, -1:] - sums.gather(1, last + 1)
    middle = (first + last).sub_(2 * torch.arange(ordered.shape[1], device=ordered.device))
    return moment.mul(2).addcmul_(middle.to(column.dtype), column).add_(above.sub_(below).to(column.dtype))

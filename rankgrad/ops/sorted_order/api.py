"""The stable order of lists, by one kernel launch where kernels run."""

from __future__ import annotations

from torch import Tensor

from rankgrad.ops._arguments import as_lists
from rankgrad.ops._dispatch import Backend, resolve_backend
from rankgrad.ops.sorted_order import launch, library, reference


def sorted_lists(
    x: Tensor, mask: Tensor | None = None, *, descending: bool = True, backend: Backend = "auto"
) -> tuple[Tensor, Tensor]:
    """Each list in order: its values and where they come from.

    Equal items stay in their order, as do masked ones, which come last and keep their values. -0 equals 0, and NaN lies
    above all numbers. Kernels hold lists of up to 2048 items, of dtypes of up to 32 bits: a value's bits, turned such
    that integers rise as values do, and its place are sorted as one integer. All else takes ``torch.sort``.

    Args:
        x: of any dtype but bool.
        mask: True = a real item; None = all.
        descending: the highest first, else the lowest.
        backend: ``"auto"``, ``"triton"`` (where it cannot hold the lists, as ``"auto"``) or ``"reference"``.

    Shape:
        ``[..., items]``; two of them, in the dtype of ``x`` and in int64.

    Returns:
        The values, differentiable, and the order, which is ``gather``'s index.

    Example:
        >>> import torch
        >>> sorted_lists(torch.tensor([1.0, 3.0, 9.0, 3.0]), torch.tensor([True, True, False, True]))
        (tensor([3., 3., 1., 9.]), tensor([1, 3, 0, 2]))
    """
    if kernels_run(x, backend):
        values, found = library.sorted_lists_op(as_lists(x), None if mask is None else as_lists(mask), descending)
        return values.view(x.shape), found.view(x.shape)
    found = reference.order(x.detach(), mask, descending=descending)
    return x.gather(-1, found), found


def order(x: Tensor, mask: Tensor | None = None, *, descending: bool = True, backend: Backend = "auto") -> Tensor:
    """The order alone of :func:`sorted_lists`.

    Example:
        >>> import torch
        >>> order(torch.tensor([0.5, 0.1, 0.5]), descending=False)
        tensor([1, 0, 2])
    """
    if kernels_run(x, backend):
        return sorted_lists(x.detach(), mask, descending=descending, backend=backend)[1]
    return reference.order(x.detach(), mask, descending=descending)


def ranks(x: Tensor, mask: Tensor | None = None, *, descending: bool = True, backend: Backend = "auto") -> Tensor:
    """1-based ranks in that order, without gradient: 0 where masked, NaN in a list in which a real item is NaN.

    Example:
        >>> import torch
        >>> ranks(torch.tensor([0.1, 0.9, 0.9]))
        tensor([3., 1., 2.])
    """
    if kernels_run(x, backend):
        flat = None if mask is None else as_lists(mask)
        return library.ranks_op(as_lists(x.detach()), flat, descending).view(x.shape)
    return reference.ranks(x.detach(), mask, descending=descending)


def kernels_run(x: Tensor, backend: Backend = "auto") -> bool:
    """Would kernels sort these lists?

    Example:
        >>> import torch
        >>> kernels_run(torch.zeros(4))
        False
    """
    # The length is asked last: a graph that is exported must not depend on it.
    found = resolve_backend(backend, x.device, op="sorted_order", kernels=True, compiles=True)
    return found == "triton" and launch.fits(x)

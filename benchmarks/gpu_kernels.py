"""Calls of every kernel of lists, forward and backward, on a GPU against the definition in float64 on the CPU.

``tests/gpu`` runs them on several sizes, ``gpu_sanitize`` on one. Those of MaxSim are in ``gpu_sanitize``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rankgrad.ops import soft_permute, soft_rank, soft_sort, soft_top_k
from rankgrad.ops.isotonic import isotonic_regression
from rankgrad.ops.pairwise_loss import PairOptions, pairwise_losses
from rankgrad.ops.scans import reverse_logcumsumexp
from rankgrad.ops.sorted_order import ranks, sorted_lists

Call: TypeAlias = Callable[[Tensor, Tensor, Any], Tensor]
"""From lists, their mask and a backend to what is differentiated in the lists."""

SIZES = ((3, 37), (2, 130))
# Longer than a list that one program holds.
LONG = (1, 2100)


def check(call: Call, lists: int, items: int, *, backend: str = "triton", device: str = "cuda") -> None:
    """Values and gradients of masked lists, the last of several without a real item, under one upstream gradient."""
    x, mask = torch.randn(lists, items), torch.rand(lists, items) < 0.8
    mask[0, 0], mask[1:][-1:] = True, False
    results = []
    for place, dtype, path in ((device, torch.float32, backend), ("cpu", torch.float64, "reference")):
        leaf = x.to(place, dtype, copy=True).requires_grad_()
        value = call(leaf, mask.to(place), path)
        upstream = torch.linspace(-9, 18, value.numel(), dtype=dtype).sin().view(value.shape).to(place)
        found = (value, torch.autograd.grad(value, leaf, upstream)[0]) if value.requires_grad else (value,)
        results.append([each.detach().cpu().double() for each in found])
    for ours, wanted in zip(*results, strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4 * max(1.0, float(wanted.abs().max())))


def _lists(function: Any, *positional: Any, **options: Any) -> Call:
    """A function of lists with a mask and a backend."""
    return lambda x, mask, backend: function(x, *positional, mask=mask, backend=backend, **options)


def _permuted(method: str, width: int, **options: Any) -> Call:
    """Vectors of fixed numbers brought in order."""

    def call(x: Tensor, mask: Tensor, backend: Any) -> Tensor:
        numbers = torch.arange(x.shape[-1] * width, dtype=x.dtype, device=x.device).sin().view(-1, width)
        chosen: Any = method
        vectors = numbers.expand(*x.shape, width)
        return soft_permute(x, vectors, temperature=0.5, method=chosen, mask=mask, backend=backend, **options)

    return call


def _paired(**options: Any) -> Call:
    """Losses of pairs whose keys are 0, 1, 2, 0, 1 and so on."""

    def call(x: Tensor, mask: Tensor, backend: Any) -> Tensor:
        keys = (torch.arange(x.shape[-1], dtype=x.dtype, device=x.device) % 3).expand(x.shape)
        return pairwise_losses(x, keys, mask, options=PairOptions(**options), backend=backend)

    return call


def _weighted(x: Tensor, mask: Tensor, backend: Any) -> Tensor:
    weights = torch.linspace(0.5, 2.0, x.shape[-1], dtype=x.dtype, device=x.device).expand(x.shape)
    return isotonic_regression(x, weights=weights, mask=mask, backend=backend)


def _sorted(x: Tensor, mask: Tensor, backend: Any) -> Tensor:
    values, order = sorted_lists(x, mask, backend=backend)
    return values + order


_soft_rank = partial(_lists, soft_rank, temperature=0.5)
_soft_sort = partial(_lists, soft_sort, temperature=0.5)
CALLS: dict[str, Call] = {
    "pairwise_rank": _soft_rank(method="sigmoid"),
    "isotonic": _soft_rank(method="isotonic"),
    "isotonic, kl": _soft_sort(method="isotonic", regularization="kl"),
    "isotonic, weights": _weighted,
    "laplace, ranks": _soft_rank(method="laplace"),
    "laplace, sorted": _soft_sort(method="laplace"),
    "laplace, selected": _lists(soft_top_k, 2.5, temperature=0.5),
    "softsort": _soft_sort(method="softsort"),
    "softsort, vectors": _permuted("softsort", 65),
    "neuralsort": _soft_rank(method="neuralsort"),
    "neuralsort, vectors": _permuted("neuralsort", 65, transpose=True),
    "sinkhorn": _soft_rank(method="sinkhorn", iterations=3),
    "sinkhorn, vectors": _permuted("sinkhorn", 40, iterations=3),
    "network, bitonic": _soft_rank(method="network"),
    "network, odd-even": _permuted("network", 3, transpose=True, network="odd_even", distribution="logistic"),
    "pairwise_loss": _paired(pairs="difference", swap=1.0, gap=10.0, k=10),
    "pairwise_loss, hinge": _paired(link="hinge", pairs="each"),
    "scans": _lists(reverse_logcumsumexp),
    "sorted_order": _sorted,
    "sorted_order, ranks": _lists(ranks),
}
LONG_CALLS = {name: call for name, call in CALLS.items() if name.startswith(("laplace", "scans"))}

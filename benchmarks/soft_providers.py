"""Who sorts, ranks and selects softly, method by method: providers of one method compute the same thing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks import soft_definitions as definitions
from benchmarks import soft_plain
from benchmarks.soft_settings import RANK, SORT, Shape
from rankgrad.ops import soft_rank, soft_sort, soft_top_k


class Provider(NamedTuple):
    """Its name; ``call(x, temperature)`` of lists ``[batch, items]``; the package that it needs; what a pair costs;
    whether it loops over the lists in Python.
    """

    name: str
    call: Callable[[Tensor, float], Tensor]
    package: str = "torch"
    pairs: float = 0.0
    loops: bool = False


class Method(NamedTuple):
    """Its name, the temperature at a number of items, what it is, and who computes it; the first is ours."""

    name: str
    temperature: Callable[[int], float]
    definition: definitions.Definition
    providers: list[Provider]


def methods(case: str, shape: Shape) -> list[Method]:
    """The methods of a case."""
    if case == RANK:
        return _rank(shape)
    return _sort(shape) if case == SORT else _top_k(shape)


def _rank(shape: Shape) -> list[Method]:
    return [
        Method(
            "isotonic",
            _gap,
            definitions.isotonic_rank,
            [_ours(soft_rank, "isotonic"), _torchsort("soft_rank"), _soft_torch_isotonic("rank", shape.items)],
        ),
        Method(
            "isotonic kl",
            _one,
            definitions.isotonic_rank_kl,
            [_ours(soft_rank, "isotonic", regularization="kl"), _torchsort("soft_rank", "kl")],
        ),
        Method(
            "laplace",
            _tenth,
            definitions.laplace_rank,
            [_ours(soft_rank, "laplace"), _lapsum("rank"), Provider("plain torch", _pairwise_laplace, pairs=1.0)],
        ),
        Method(
            "sigmoid",
            _tenth,
            definitions.sigmoid_rank,
            [_ours(soft_rank, "sigmoid", pairs=1 / 16), Provider("plain torch", _pairwise_sigmoid, pairs=1.0)],
        ),
    ]


def _sort(shape: Shape) -> list[Method]:
    return [
        Method(
            "isotonic",
            _spacing,
            definitions.isotonic_sort,
            [_ours(soft_sort, "isotonic"), _torchsort("soft_sort"), _soft_torch_isotonic("sort", shape.items)],
        ),
        Method(
            "isotonic kl",
            _spacing,
            definitions.isotonic_sort_kl,
            [_ours(soft_sort, "isotonic", regularization="kl"), _torchsort("soft_sort", "kl")],
        ),
        Method("laplace", _tenth, definitions.laplace_sort, [_ours(soft_sort, "laplace")]),
        Method(
            "softsort",
            _tenth,
            partial(definitions.applied, definitions.soft_sort_rows),
            [
                _ours(soft_sort, "softsort"),
                Provider("plain torch", soft_plain.soft_sort, pairs=1.0),
                _named("SoftTorch", "softtorch", soft_plain.soft_torch_rows, pairs=1.0),
            ],
        ),
        Method(
            "neuralsort",
            _items,
            partial(definitions.applied, definitions.neural_sort_rows),
            [_ours(soft_sort, "neuralsort", pairs=1.0), Provider("plain torch", soft_plain.neural_sort, pairs=1.0)],
        ),
        Method(
            "sinkhorn",
            _items,
            partial(definitions.ours, soft_sort, {"method": "sinkhorn"}),
            [_ours(soft_sort, "sinkhorn", pairs=16.0)],
        ),
        Method(
            "bitonic network",
            _tenth,
            partial(definitions.ours, soft_sort, {"method": "network", "distribution": "logistic"}),
            [
                _ours(soft_sort, "network", distribution="logistic"),
                _named("SoftTorch", "softtorch", soft_plain.soft_torch_network, loops=True),
                _named("diffsort", "diffsort", soft_plain.diffsort, pairs=shape.items.bit_length() ** 2 / 2),
            ],
        ),
        Method("none (hard)", _tenth, definitions.hard_sort, [Provider("torch.sort", _hard)]),
    ]


def _top_k(shape: Shape) -> list[Method]:
    k = shape.k
    ours = partial(_ours, soft_top_k, k=k)
    return [
        Method("laplace", _tenth, _weights(definitions.laplace, k), [ours("laplace"), _lapsum("topk", k)]),
        Method(
            "isotonic",
            _one,
            _weights(definitions.box, k),
            [ours("isotonic"), Provider("plain torch, halving", partial(soft_plain.halving, k=k))],
        ),
        Method("p_norm", _one, _weights(partial(definitions.box, power=3.0), k), [ours("p_norm")]),
        Method(
            "neuralsort",
            _items,
            partial(definitions.first_rows, definitions.neural_sort_rows, k),
            [
                ours("neuralsort", pairs=1.0),
                Provider("plain torch", partial(soft_plain.neural_sort_weights, k=k), pairs=1.0),
            ],
        ),
    ]


def _weights(share: Callable[[Tensor], Tensor], k: int) -> definitions.Definition:
    return partial(definitions.weights, share, k)


# Temperatures at which normal values are neither in order nor all alike.
def _tenth(items: int) -> float:
    return 0.1


def _one(items: int) -> float:
    return 1.0


def _items(items: int) -> float:
    return 0.01 * items


def _gap(items: int) -> float:
    return 2.5 / items


def _spacing(items: int) -> float:
    return 0.25 * items


def _ours(operator: Callable[..., Tensor], method: str, *, pairs: float = 0.0, **options: Any) -> Provider:
    return Provider(
        "rankgrad", lambda x, temperature: operator(x, temperature=temperature, method=method, **options), pairs=pairs
    )


def _named(
    name: str, package: str, call: Callable[[Tensor, float], Tensor], *, pairs: float = 0.0, loops: bool = False
) -> Provider:
    """A peer's name with its version, of which the file has no column."""
    with suppress(PackageNotFoundError):
        name = f"{name} {version(package)}"
    return Provider(name, call, package, pairs, loops)


def _torchsort(function: str, regularization: str = "l2") -> Provider:
    def call(x: Tensor, temperature: float) -> Tensor:
        import torchsort  # pyright: ignore[reportMissingImports]

        # It sorts and ranks upwards.
        if function == "soft_rank":
            return torchsort.soft_rank(-x, regularization=regularization, regularization_strength=temperature)
        return -torchsort.soft_sort(-x, regularization=regularization, regularization_strength=temperature)

    return _named("torchsort", "torchsort", call)


def _soft_torch_isotonic(function: str, items: int) -> Provider:
    # Its anchors are 0 to 1, so its softness is ours in other units.
    scale = max(items - 1, 1)

    def call(x: Tensor, temperature: float) -> Tensor:
        import softtorch  # pyright: ignore[reportMissingImports]

        options: dict[str, Any] = {"method": "fast_soft_sort", "mode": "c0", "standardize": False, "descending": True}
        if function == "rank":
            return softtorch.rank(x, dim=-1, softness=temperature * scale, **options)
        return softtorch.sort(x, dim=-1, softness=temperature / scale, **options).values

    return _named("SoftTorch", "softtorch", call, loops=True)


def _lapsum(function: str, k: int = 0) -> Provider:
    def call(x: Tensor, temperature: float) -> Tensor:
        if function == "rank":
            from lapsum.rank.extension.soft_rank import soft_rank as ranks  # pyright: ignore[reportMissingImports]

            # From 0, and a negative scale ranks downwards.
            return ranks(x, -temperature) + 1.0
        from lapsum.topk.extension.soft_topk import soft_topk  # pyright: ignore[reportMissingImports]

        return soft_topk(x, torch.full_like(x[:, :1], float(k)), temperature)

    return _named("LapSum", "lapsum", call)


def _pairwise_sigmoid(x: Tensor, temperature: float) -> Tensor:
    return 0.5 + ((x[:, None, :] - x[:, :, None]) / temperature).sigmoid().sum(dim=-1)


def _pairwise_laplace(x: Tensor, temperature: float) -> Tensor:
    apart = (x[:, None, :] - x[:, :, None]) / temperature
    share = 0.5 * (-apart.abs()).exp()
    # In this order a value meets itself with a share of one half.
    return 0.5 + torch.where(apart > 0, 1.0 - share, share).sum(dim=-1)


def _hard(x: Tensor, temperature: float) -> Tensor:
    return x.sort(descending=True).values

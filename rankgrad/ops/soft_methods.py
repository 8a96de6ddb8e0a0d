"""What soft ranking, sorting and selecting can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict

import torch

from rankgrad._checks import InputError
from rankgrad.ops._arguments import check_positive

RankMethod: TypeAlias = Literal[
    "sigmoid", "isotonic", "laplace", "neuralsort", "softsort", "sinkhorn", "network", "blackbox", "perturbed"
]
SortMethod: TypeAlias = Literal["isotonic", "laplace", "neuralsort", "softsort", "sinkhorn", "network", "perturbed"]
TopKMethod: TypeAlias = Literal["laplace", "isotonic", "p_norm", "neuralsort", "gumbel"]
PermutationMethod: TypeAlias = Literal["softsort", "neuralsort", "sinkhorn", "network"]


class MethodOptions(TypedDict, total=False):
    """Options of single methods.

    Attributes:
        regularization: of ``"isotonic"``: ``"l2"`` (also None) or ``"kl"``.
        iterations: of ``"sinkhorn"``: how often rows and columns are scaled, at most.
        tolerance: of ``"sinkhorn"``: stop when no column's sum is farther than this from 1; None = never.
        network: ``"bitonic"`` or ``"odd_even"``.
        distribution: of ``"network"``: whose distribution function relaxes an exchange: ``"logistic"``, ``"cauchy"``,
            ``"gaussian"`` or ``"optimal"``.
        samples: of ``"perturbed"`` and ``"gumbel"``: how many perturbed lists are averaged.
        noise: of ``"perturbed"``: ``"gaussian"`` or ``"gumbel"``.
        generator: of ``"perturbed"`` and ``"gumbel"``: where the noise comes from; None = torch's global one.
    """

    regularization: Literal["l2", "kl"] | None
    iterations: int
    tolerance: float | None
    network: Literal["bitonic", "odd_even"]
    distribution: Literal["logistic", "cauchy", "gaussian", "optimal"]
    samples: int
    noise: Literal["gaussian", "gumbel"]
    generator: torch.Generator | None


OPTIONS: dict[str, tuple[str, ...]] = {
    "isotonic": ("regularization",),
    "sinkhorn": ("iterations", "tolerance"),
    "network": ("network", "distribution"),
    "perturbed": ("samples", "noise", "generator"),
    "gumbel": ("samples", "generator"),
}
_CHOICES = {
    "regularization": (None, "l2", "kl"),
    "network": ("bitonic", "odd_even"),
    "distribution": ("logistic", "cauchy", "gaussian", "optimal"),
    "noise": ("gaussian", "gumbel"),
}


def check_method(
    method: str, methods: tuple[str, ...], temperature: float | torch.Tensor, options: Mapping[str, Any]
) -> None:
    """Refuse a method that is not one of ``methods``, a temperature not above 0, and options that are not the method's.

    Example:
        >>> check_method("sigmoid", ("sigmoid", "isotonic"), 0.1, {"samples": 8})
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: samples: not an option of method="sigmoid", which has none
    """
    if method not in methods:
        raise InputError(f"method: expected one of {_listed(methods)}, got {method!r}")
    if not isinstance(temperature, torch.Tensor):
        check_positive(temperature, "temperature")
    known = OPTIONS.get(method, ())
    for name, value in options.items():
        if name not in known:
            raise InputError(f'{name}: not an option of method="{method}", which has {_listed(known) or "none"}')
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InputError(f"{name}: expected one of {_listed(_CHOICES[name])}, got {value!r}")
        if name in ("iterations", "samples") and not (isinstance(value, int) and value > 0):
            raise InputError(f"{name}: expected a whole number above 0, got {value!r}")
        if name == "tolerance" and value is not None:
            check_positive(value, name)


def _listed(names: tuple[str | None, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names if name is not None)

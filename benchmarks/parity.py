"""No number without agreement: what is compared must compute the same thing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rankgrad.export.parity import kendall_tau, relative_difference

TOLERANCE = 1e-4


class DisagreementError(RuntimeError):
    """A provider gives other scores than the reference, so its time means nothing."""


class Agreement(NamedTuple):
    """Largest difference to the reference relative to its largest value (but at least 1), and agreement of orders."""

    difference: float
    tau: float


def agreement(reference: np.ndarray, scores: np.ndarray) -> Agreement:
    """Compare the scores of one list."""
    if reference.shape != scores.shape:
        raise DisagreementError(f"scores are {list(scores.shape)}, the reference {list(reference.shape)}")
    return Agreement(relative_difference(reference, scores), kendall_tau(reference, scores))


def check(provider: str, found: Agreement, *, tolerance: float | None = TOLERANCE, tau: float = -1.0) -> None:
    """Refuse a provider that disagrees.

    Args:
        provider: its name.
        found: what :func:`agreement` gave.
        tolerance: largest difference; None for a graph that is not exact.
        tau: lowest Kendall tau.

    Raises:
        DisagreementError: naming the provider and both numbers.
    """
    if tolerance is not None and not found.difference <= tolerance:
        raise DisagreementError(f"{provider}: scores differ by {found.difference:.2g}, allowed is {tolerance:.2g}")
    if not found.tau >= tau:
        raise DisagreementError(f"{provider}: Kendall tau {found.tau:.3f}, at least {tau:.3f} is wanted")

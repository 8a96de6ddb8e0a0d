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


def check(provider: str, found: Agreement, *, exact: bool, lowest_tau: float) -> None:
    """Refuse a provider that disagrees.

    Args:
        provider: its name.
        found: what :func:`agreement` gave.
        exact: its arithmetic is float32, so scores must agree to ``TOLERANCE``; else only their order is judged.
        lowest_tau: of a provider that is not exact.

    Raises:
        DisagreementError: naming the provider, what was found and what is wanted.
    """
    if exact and not found.difference <= TOLERANCE:
        raise DisagreementError(f"{provider}: scores differ by {found.difference:.2g}, allowed is {TOLERANCE:.2g}")
    if not exact and not found.tau >= lowest_tau:
        raise DisagreementError(f"{provider}: Kendall tau {found.tau:.3f}, at least {lowest_tau:.3f} is wanted")

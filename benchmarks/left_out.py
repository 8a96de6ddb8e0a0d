"""A peer that fails gets no number, and the others do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from benchmarks.show import OURS

Found = TypeVar("Found")


def unless_left_out(provider: str, setting: str, call: Callable[[], Found]) -> Found | None:
    """What a call gives; None where a peer fails or disagrees, after a line that says why. What is ours raises."""
    try:
        return call()
    except Exception as error:
        # What a peer raises is not ours to know.
        if provider.startswith(OURS):
            raise
        reason = (str(error).splitlines() or [""])[0]
        print(f"left out: {provider}, {setting}: {type(error).__name__}: {reason}", flush=True)
        return None

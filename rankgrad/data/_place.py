"""The stored place in the data belongs to the data it was stored in."""

from __future__ import annotations

from typing import Any

from rankgrad._checks import InputError


def check_identity(stored: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse a place stored in other data.

    Raises:
        InputError: naming what differs.

    Example:
        >>> check_identity({"epoch": 3, "seed": 0}, {"seed": 0})
        >>> check_identity({"epoch": 3, "seed": 0}, {"seed": 1})
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: the checkpoint stopped in other data (seed 0 then, 1 now): resume with ...
    """
    differing = {name: (stored.get(name), value) for name, value in now.items() if stored.get(name) != value}
    if differing:
        shown = ", ".join(f"{name} {then} then, {value} now" for name, (then, value) in differing.items())
        raise InputError(f"the checkpoint stopped in other data ({shown}): resume with the settings it was made with")

"""Taking times and memory."""

from __future__ import annotations

import gc
import random
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

FEWEST_ROUNDS, MOST_ROUNDS = 5, 30
_STATUS = Path("/proc/self/status")


class Spread(NamedTuple):
    """The 20th, 50th and 80th percentile of some samples."""

    p20: float
    p50: float
    p80: float


def spread(samples: Sequence[float]) -> Spread:
    """Percentiles by linear interpolation: p lies at place ``p (n - 1)`` of the n sorted samples, counted from 0.

    Example:
        >>> spread([4.0, 1.0, 2.0, 3.0, 0.0])
        Spread(p20=0.8, p50=2.0, p80=3.2)
    """
    if not samples:
        raise ValueError("samples is empty: measure at least once")
    ordered = sorted(samples)
    return Spread(*(_at(ordered, share * (len(ordered) - 1)) for share in (0.2, 0.5, 0.8)))


def interleaved(
    calls: Mapping[str, Callable[[], object]], *, rounds: int | None = None, warm_up: int = 2, seconds: float = 10.0
) -> dict[str, list[float]]:
    """Milliseconds of every call, one call of each a round, so that a slow moment of the machine meets all alike.

    Each round has an order of its own, the same in every run: what a call leaves in the caches, or running, meets all
    others alike. The garbage collector waits until the end of a round.

    Args:
        calls: what is measured, by name.
        rounds: None takes as many as fit ``seconds``, but at least 5 and at most 30.
        warm_up: rounds beforehand that do not count.
        seconds: the time that the rounds may take together.
    """
    order = random.Random(0)
    for _ in range(warm_up):
        once = {name: _milliseconds(call) for name, call in calls.items()}
    if rounds is None:
        fitting = seconds * 1e3 / max(sum(once.values()), 1e-6) if warm_up else FEWEST_ROUNDS
        rounds = int(min(max(fitting, FEWEST_ROUNDS), MOST_ROUNDS))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    enabled = gc.isenabled()
    # What is there already is no round's garbage: looking through it each round took longer than the calls.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(rounds):
            gc.collect()
            gc.disable()
            for name in order.sample(list(calls), len(calls)):
                samples[name].append(_milliseconds(calls[name]))
            if enabled:
                gc.enable()
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
    return samples


def peak_memory() -> float:
    """The most memory this process has held, in MiB.

    ``ru_maxrss`` begins at the parent's size where a process is forked, so Linux' own mark is taken where there is one.
    """
    mark = _status("VmHWM")
    if mark is not None:
        return mark
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (2**20 if sys.platform == "darwin" else 2**10)


def memory() -> float:
    """The memory this process holds now, in MiB; the peak where the system does not say."""
    now = _status("VmRSS")
    return peak_memory() if now is None else now


def _status(name: str) -> float | None:
    if not _STATUS.exists():
        return None
    found = [line.split() for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(found[0][1]) / 2**10 if found else None


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def _at(ordered: Sequence[float], place: float) -> float:
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)

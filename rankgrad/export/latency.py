"""How long an exported graph takes a document, on the machine that exports."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rankgrad._checks import require

ROUNDS = 5
_CPU_INFO = Path("/proc/cpuinfo")
Name = TypeVar("Name", bound=str)


class Latency(NamedTuple):
    """Milliseconds of several runs: the fastest, the median and the slowest."""

    fastest: float
    median: float
    slowest: float


def measure_latency(works: Mapping[Name, Callable[[], object]], *, rounds: int = ROUNDS) -> dict[Name, Latency]:
    """Time some works in turn, so that a slow moment of the machine meets all of them; each has run once before.

    Args:
        works: what is timed.
        rounds: how often each is run.

    Example:
        >>> found = measure_latency({"sleep": lambda: time.sleep(0.002)}, rounds=3)["sleep"]
        >>> 2 <= found.fastest <= found.median <= found.slowest
        True
    """
    for work in works.values():
        work()
    times: dict[Name, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            times[name].append(1e3 * (time.perf_counter() - started))
    return {name: Latency(min(each), float(np.median(each)), max(each)) for name, each in times.items()}


def machine() -> dict[str, Any]:
    """The CPU's name and ONNX Runtime's version: what latency is read beside."""
    return {"cpu": _cpu_name(), "onnxruntime": require("onnxruntime", "onnx").__version__}


def _cpu_name() -> str:
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

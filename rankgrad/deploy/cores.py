"""How many cores a process may keep busy."""

from __future__ import annotations

import math
import os
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def usable_cores(groups: Path = _GROUPS) -> int:
    """Cores that this process may run on; of a container with a CPU quota no more than the quota pays for, at least 1.

    Args:
        groups: where Linux tells a container its limits.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(groups)
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def _quota(groups: Path) -> float | None:
    """Seconds of CPU time a second; None without a limit."""
    pairs = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))  # of version 2, of version 1
    for names in pairs:
        try:
            quota, period = map(int, " ".join((groups / name).read_text(encoding="ascii") for name in names).split())
        except (OSError, ValueError):  # not there, or "max 100000"
            continue
        if quota > 0 < period:
            return quota / period
    return None

"""The memory that a call takes on top of what is there before it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.measure import memory, peak_memory

_RESET = Path("/proc/self/clear_refs")


def peak_growth(call: Callable[[], object], *, device: str = "cpu") -> float:
    """MiB at the peak of a call, less those held before it; its result is held until the end.

    On a CPU this is the process's own mark, so a process should measure once, after a small call that loads what the
    first call loads. On a GPU it is torch's count of bytes allocated.
    """
    gc.collect()
    if device != "cpu":
        return _on_cuda(call)
    ballast = None
    if not _reset():
        # The mark stays at an earlier peak; filled up to it, whatever comes on top moves it.
        ballast = np.ones(int(max(peak_memory() - memory(), 0.0) * 2**20), dtype=np.uint8)
    before = memory()
    kept = call()
    growth = peak_memory() - before
    del kept, ballast
    return growth


def _on_cuda(call: Callable[[], object]) -> float:
    import torch

    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    kept = call()
    torch.cuda.synchronize()
    growth = (torch.cuda.max_memory_allocated() - before) / 2**20
    del kept
    return growth


def _reset() -> bool:
    """Set the mark to what is held now; False where the system does not let a process do so."""
    try:
        _RESET.write_text("5")
    except OSError:
        return False
    return True

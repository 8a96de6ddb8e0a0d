"""Every variant of the scan kernels, built for one target: ``python scans_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.scans import kernels, launch

# name: (lists, items, dtype)
VARIANTS: dict[str, tuple[int, int, torch.dtype]] = {
    "short lists, half": (8192, 100, torch.float16),
    "long lists": (64, 100_000, torch.float32),
}


def launches(lists: int, items: int, dtype: torch.dtype) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    for name in [name for name in vars(kernels) if name.endswith("_kernel")]:
        kernel = getattr(kernels, name)
        setattr(kernels, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    with torch.device("meta"):
        x = torch.empty(lists, items, dtype=dtype)
    sums = launch.forward(x)
    launch.backward(x, sums, sums)
    return found


if __name__ == "__main__":
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant, options in VARIANTS.items()
        for each in launches(*options)
    ]
    print(json.dumps(rows))

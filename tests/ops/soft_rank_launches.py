"""Every variant of the rank kernels, built for one target: ``python soft_rank_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.pairwise_rank import kernels, launch

# name: (lists, items, dtype, masked)
VARIANTS: dict[str, tuple[int, int, torch.dtype, bool]] = {
    "long lists": (1024, 1000, torch.float32, False),
    "long lists, masked": (1024, 1000, torch.float32, True),
    "short lists": (8192, 100, torch.float32, True),
    "lists of 32": (8192, 32, torch.float32, False),
    "half": (1024, 1000, torch.float16, False),
    "bfloat16, masked": (8192, 100, torch.bfloat16, True),
    # More than 2^31 numbers.
    "huge": (1 << 17, 1 << 15, torch.bfloat16, True),
}


def launches(lists: int, items: int, dtype: torch.dtype, masked: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    for name in ("_pairwise_rank_forward_kernel", "_pairwise_rank_backward_kernel"):
        kernel: Any = getattr(kernels, name)
        setattr(kernels, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    with torch.device("meta"):
        values = torch.empty(lists, items, dtype=dtype)
        mask = torch.empty(lists, items, dtype=torch.bool) if masked else None
    launch.backward(values, mask, 0.1, launch.forward(values, mask, 0.1))
    return found


if __name__ == "__main__":
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant, options in VARIANTS.items()
        for each in launches(*options)
    ]
    print(json.dumps(rows))

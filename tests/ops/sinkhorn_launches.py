"""The kernel of Sinkhorn's products, built for one target: ``python sinkhorn_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import ahead_of_time
import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.sinkhorn import kernels, launch

# name: (lists, items, width, transpose)
VARIANTS: dict[str, tuple[int, int, int, bool]] = {
    "an iteration": (1024, 1000, 1, False),
    "a few features": (64, 1000, 3, False),
    # More than 2^31 numbers.
    "vectors": (1 << 11, 1 << 14, 128, True),
}


def launches(lists: int, items: int, width: int, transpose: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    kernel: Any = kernels._transport_product_kernel
    kernels._transport_product_kernel = Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found)
    with torch.device("meta"):
        vector = torch.empty(lists, items, dtype=torch.float64)
        weights = torch.empty(lists, items, width)
    launch.product(vector, vector, vector, vector, weights, transpose)
    launch.moments(vector, vector, vector, vector, weights)
    return found


if __name__ == "__main__":
    # Potentials are held in float64.
    ahead_of_time._TYPES[torch.float64] = "*fp64"
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant, options in VARIANTS.items()
        for each in launches(*options)
    ]
    print(json.dumps(rows))

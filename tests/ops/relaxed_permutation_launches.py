"""Kernels of relaxed permutations, built for one target: ``python relaxed_permutation_launches.py sm_90``."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ahead_of_time import _TYPES, Launch, Recorder, compile_for

from rankgrad.ops.relaxed_permutation import kernels, laplace_kernels, launch

_TYPES[torch.float64] = "*fp64"
# name: (lists, items, weights an item, kind, transposed, with moments)
VARIANTS: dict[str, tuple[int, int, int, str, bool, bool]] = {
    "laplace, backward": (64, 4096, 4, "laplace", False, True),
    "laplace, vectors": (64, 1000, 65, "laplace", False, False),
    "neuralsort, backward": (8192, 100, 2, "neuralsort", True, True),
    "neuralsort, vectors, backward": (64, 1000, 65, "neuralsort", True, True),
    # More than 2^31 numbers.
    "huge": (1 << 17, 1 << 15, 1, "neuralsort", False, False),
}


def launches(lists: int, items: int, dim: int, kind: str, transpose: bool, moments: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    for module in (kernels, laplace_kernels):
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            kernel: Any = getattr(module, name)
            setattr(module, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    with torch.device("meta"):
        ordered, weights = torch.empty(lists, items), torch.empty(lists, dim, items)
    launch.multiply(ordered, weights, 0.1, kind, transpose=transpose, moments=moments)
    return found


if __name__ == "__main__":
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant, options in VARIANTS.items()
        for each in launches(*options)
    ]
    print(json.dumps(rows))

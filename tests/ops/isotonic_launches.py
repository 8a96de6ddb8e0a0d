"""Every variant of the kernels of isotonic regression, built for one target: prints JSON."""

from __future__ import annotations

import json
import sys

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.isotonic import kernels, launch

SIZES = [1, 2, 100, 1000, 2048]


def launches(n: int, *, weighted: bool, logarithmic: bool) -> list[Launch]:
    """What the package launches for lists of n."""
    found: list[Launch] = []
    for name in [name for name in vars(kernels) if name.endswith("_kernel")]:
        kernel = getattr(kernels, name)
        setattr(kernels, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    with torch.device("meta"):
        x, weights = torch.empty(64, n), torch.empty(64, n) if weighted else None
    blocks = launch.blocks(x, weights, logarithmic=logarithmic)
    launch.block_sum(x, blocks)
    return found


if __name__ == "__main__":
    rows = [
        {"n": n, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for n in SIZES
        for weighted, logarithmic in ((False, False), (True, False), (True, True))
        for each in launches(n, weighted=weighted, logarithmic=logarithmic)[: 2 if not weighted else 1]
    ]
    print(json.dumps(rows))

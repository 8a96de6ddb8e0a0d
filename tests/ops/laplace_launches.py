"""Every variant of the Laplace kernels, built for one target: ``python laplace_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys

import sorted_order_launches as sorting
import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.laplace import kernels, launch, long_kernels, long_launch

# name: (lists, items, dtype, masked)
VARIANTS: dict[str, tuple[int, int, torch.dtype, bool]] = {
    "half, masked": (1024, 1000, torch.float16, True),
    "one long list": (1, 1_000_000, torch.float32, False),
}


def launches(lists: int, items: int, dtype: torch.dtype, masked: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    for module in (kernels, long_kernels):
        for name in [name for name in vars(module) if name.endswith("_kernel")]:
            kernel = getattr(module, name)
            setattr(module, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    with torch.device("meta"):
        values = torch.empty(lists, items, dtype=dtype)
        mask = torch.empty(lists, items, dtype=torch.bool) if masked else None
        temperature = torch.empty(lists, 1)
    ranking = launch if items <= launch.LONGEST else long_launch
    ranks, order = ranking.ranks(values, mask, 0.1)
    ranking.ranks_gradient(values, mask, 0.1, order, ranks)
    if ranking is long_launch:
        launch.scanner(launch.sort(values, mask, temperature, None)).neighbours()
    # Of what is launched several times the last launch does the most.
    return list({each.kernel.__name__: each for each in found}.values())


if __name__ == "__main__":
    built = [(name, each) for name, options in VARIANTS.items() for each in launches(*options)]
    built += [(name, each) for name, options in sorting.VARIANTS.items() for each in sorting.launches(*options)]
    rows = [{"variant": name, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])} for name, each in built]
    print(json.dumps(rows))

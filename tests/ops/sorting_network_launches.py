"""The kernels of sorting networks, built for one target: ``python sorting_network_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.sorting_network import kernels, launch
from rankgrad.ops.sorting_network.distributions import Distribution
from rankgrad.ops.sorting_network.wiring import Network, layer_count

KERNELS = (
    "_network_wires_kernel",
    "_network_wires_backward_kernel",
    "_network_push_kernel",
    "_network_push_backward_kernel",
)
# name: (lists, items, network, distribution, reverse)
VARIANTS: dict[str, tuple[int, int, Network, Distribution, bool]] = {
    "longest": (8192, 2048, "bitonic", "gaussian", False),
    "odd-even, backwards": (64, 200, "odd_even", "cauchy", True),
}


def launches(lists: int, items: int, network: Network, distribution: Distribution, reverse: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    for name in KERNELS:
        kernel: Any = getattr(kernels, name)
        setattr(kernels, name, Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found))
    with torch.device("meta"):
        x, count = torch.empty(lists, items), torch.empty(lists, dtype=torch.int64)
        share, values = torch.empty(layer_count(network, items), lists, items), torch.empty(lists, items, 8)
    wires = launch.wires(x, count, 0.1, network, distribution, True)
    launch.wires_backward(wires, wires, count, 0.1, network, distribution)
    launch.push(share, values, network, reverse)
    launch.push_backward(values, share, values, network, reverse)
    return found


if __name__ == "__main__":
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant, options in VARIANTS.items()
        for each in launches(*options)
    ]
    print(json.dumps(rows))

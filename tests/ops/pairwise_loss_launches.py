"""Variants of the pair-loss kernel, built for one target: ``python pairwise_loss_launches.py sm_90`` prints JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from ahead_of_time import Launch, Recorder, compile_for

from rankgrad.ops.pairwise_loss import PairOptions, kernels, launch

# name: (lists, items, options, weighted)
VARIANTS: dict[str, tuple[int, int, PairOptions, bool]] = {
    "lambda": (1024, 1000, PairOptions(pairs="difference", swap=1.0, gap=10.0, k=10), True),
    "logistic": (8192, 100, PairOptions(), False),
    "hinge, each": (1024, 1000, PairOptions(link="hinge", pairs="each"), False),
    # More than 2^31 numbers.
    "huge": (1 << 17, 1 << 15, PairOptions(), False),
}


def launches(lists: int, items: int, options: PairOptions, weighted: bool) -> list[Launch]:
    """What the package launches for a variant."""
    found: list[Launch] = []
    kernel: Any = kernels._pairwise_loss_kernel
    kernels._pairwise_loss_kernel = Recorder(kernel.kernel if isinstance(kernel, Recorder) else kernel, found)
    with torch.device("meta"):
        x = torch.empty(lists, items)
    launch.losses(x, x, None, x if weighted else None, options, gradient=True)
    return found


if __name__ == "__main__":
    rows = [
        {"variant": variant, "kernel": each.kernel.__name__, **compile_for(each, sys.argv[1])}
        for variant, options in VARIANTS.items()
        for each in launches(*options)
    ]
    print(json.dumps(rows))

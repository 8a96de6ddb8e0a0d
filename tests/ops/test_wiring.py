"""Wires of sorting networks, computed where they are used."""

from __future__ import annotations

import torch
from torch.testing import assert_close

from rankgrad.ops.sorting_network.wiring import layer_count, wiring


def test_bitonic_layers_are_those_counted_one_by_one() -> None:
    for n in [*range(70), 255, 256, 257]:
        flips, least = [], []
        for stage in range(1, (n - 1).bit_length() + 1 if n > 1 else 1):
            flips += [(1 << stage) - 1, *(1 << step for step in reversed(range(stage - 1)))]
            least += [1 << (stage - 1)] * stage
        partner, needed = wiring("bitonic", n, torch.device("cpu"))
        assert len(flips) == layer_count("bitonic", n)
        expected = [[wire if wire ^ flip >= n else wire ^ flip for wire in range(n)] for flip in flips]
        assert_close(partner, torch.tensor(expected, dtype=torch.int64).view(len(flips), n))
        assert_close(needed, torch.tensor(least, dtype=torch.int64))

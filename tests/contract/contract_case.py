"""One row of the contract's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rankgrad import ops

DIM = 4
soft = partial(ops.soft_rank, temperature=0.7)


@dataclass(frozen=True)
class Case:
    """``call(x, labels, mask, **options)`` gives a value an item or a list; items are on axis -1, vectors on -2.

    ``derivative``: the gradient is the derivative of the value, as it is not where another's is passed on.
    """

    name: str
    covers: Callable[..., Any]
    call: Callable[..., Tensor]
    per_item: bool = False
    vectors: bool = False
    differentiable: bool = True
    derivative: bool = True
    reduces: bool = False
    static: bool = True
    all_masked: float = 0.0
    float64: bool = True
    ordered: bool = False

    @property
    def item_axis(self) -> int:
        return -2 if self.vectors else -1

    def inputs(self, *batch: int, items: int = 7, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
        """x (distinct, exact in 16 bits), labels and a mask; every list has a positive and three real items."""
        generator = torch.Generator().manual_seed(seed)
        batch = (6,) if self.vectors else batch or (6,)
        places = torch.rand(*batch, items, generator=generator).argsort(dim=-1) - 1
        x = places * places.abs() / 8
        if self.vectors:
            x = x.unsqueeze(-1) + torch.randint(-9, 9, (*batch, items, DIM), generator=generator) / 16
        labels = torch.randint(0, 4, (*batch, items), generator=generator)
        mask = torch.rand(*batch, items, generator=generator) < 0.7
        labels[..., 1], labels[..., 2], mask[..., :3] = 2, 0, True
        return [x.to(dtype), labels, mask]

"""One learned number, in the shape that every way of training takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def learn_number(module: nn.Module, name: str, start: float) -> None:
    """Give a module a parameter of one number; states that hold it without an axis load too.

    It has one axis, of length 1, because a parameter without one cannot be split over processes.

    Example:
        >>> module = nn.Module()
        >>> learn_number(module, "scale", 2.0)
        >>> _ = module.load_state_dict({"scale": torch.tensor(3.0)})
        >>> module.scale.tolist()
        [3.0]
    """
    setattr(module, name, nn.Parameter(torch.tensor([start])))

    def with_axis(_: nn.Module, state: dict[str, Any], prefix: str, *others: Any) -> None:
        found = state.get(prefix + name)
        if isinstance(found, Tensor):
            state[prefix + name] = found.reshape(-1)

    module.register_load_state_dict_pre_hook(with_axis)

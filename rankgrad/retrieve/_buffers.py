"""Buffers that are None until there is an index, and come in whatever size it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def make_room(module: nn.Module, names: Iterable[str], state_dict: dict[str, Any], prefix: str) -> None:
    """Give a module's own buffers the shapes of those about to be loaded; a buffer that is None has none."""
    for name in names:
        if prefix + name in state_dict:
            setattr(module, name, torch.empty_like(state_dict[prefix + name]))

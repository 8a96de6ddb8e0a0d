"""When a stage is being trained, and how to run its model when it is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def learns(model: object) -> bool:
    """Whether gradients are wanted: ``model`` is a module in training mode and gradients are enabled."""
    return isinstance(model, nn.Module) and model.training and torch.is_grad_enabled()


@contextmanager
def frozen(model: object) -> Iterator[None]:
    """Run without gradients and without dropout; a module's modes are put back afterwards."""
    modules = list(model.modules()) if isinstance(model, nn.Module) and model.training else []
    modes = [module.training for module in modules]
    try:
        for module in modules:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode

"""Plain functions in places for modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from rankgrad.types import Ranking


class Plain(nn.Module):
    """A stage that is a plain function."""

    def __init__(self, call: Callable[..., Ranking]) -> None:
        super().__init__()
        self.call = call

    def forward(self, *arguments: Any) -> Ranking:
        return self.call(*arguments)


def as_modules(stages: Iterable[Callable[..., Ranking]]) -> nn.ModuleList:
    """The stages, registered; functions wrapped."""
    return nn.ModuleList(stage if isinstance(stage, nn.Module) else Plain(stage) for stage in stages)

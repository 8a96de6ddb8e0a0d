from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# Scripts that run in a process of their own, where triton compiles instead of interpreting.
collect_ignore_glob = ["*_launches.py", "ahead_of_time.py"]


class Operators(TorchDispatchMode):
    """Records the operators that ran and the most elements any of their results had."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.names.add(str(func))
        self.largest = max([self.largest, *(leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor))])
        return result


@pytest.fixture
def operators() -> Callable[[], Operators]:
    return Operators


@pytest.fixture
def nan_filled_memory() -> Iterator[None]:
    """``torch.empty`` gives NaN, so a place that nobody wrote shows."""
    assert torch.utils.deterministic.fill_uninitialized_memory  # pyright: ignore[reportAttributeAccessIssue]
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)

"""A model that is split over processes (FSDP) runs when all of them call it: so each must call it equally often."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh

_MESH = "_split_over"

Input = TypeVar("Input", bound=Any)


def mark_split(model: nn.Module, mesh: DeviceMesh) -> None:
    """Let :func:`call_each` know, of the model and of every part, what processes it is split over."""
    for module in model.modules():
        setattr(module, _MESH, mesh)


def call_each(model: object, call: Callable[[Input], Tensor], inputs: Sequence[Input]) -> list[Tensor]:
    """What ``call`` gives for each input; where ``model`` is split, as many calls as the process with the most makes.

    The calls beyond the inputs read one row, and what they give counts for nothing. The gradient passes through them,
    since the backward passes of all processes meet too.

    Args:
        model: what ``call`` runs, or holds.
        inputs: at least one; each a tensor, or a tuple of tensors, that begins with rows.

    Example:
        >>> call_each(nn.Identity(), torch.sum, [torch.ones(2), torch.ones(3)])
        [tensor(2.), tensor(3.)]
    """
    most = _most(getattr(model, _MESH, None), len(inputs))
    found = [call(each) for each in inputs]
    for _ in range(most - len(inputs)):
        spare = call(_first_row(inputs[0]))
        if spare.requires_grad:
            found[0] = found[0] + spare[:0].sum()
    return found


def _most(mesh: DeviceMesh | None, count: int) -> int:
    """The largest count of all processes."""
    if mesh is None or mesh.size() == 1:
        return count
    counts = torch.tensor(count, device=mesh.device_type)
    distributed.all_reduce(counts, distributed.ReduceOp.MAX, group=mesh.get_group())
    return int(counts)


def _first_row(rows: Any) -> Any:
    if isinstance(rows, Tensor):
        return rows[:1]
    first = [field[:1] for field in rows]
    return type(rows)(*first) if hasattr(rows, "_fields") else tuple(first)

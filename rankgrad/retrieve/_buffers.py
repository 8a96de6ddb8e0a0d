"""Buffers that are None until there is an index, and come in whatever size it has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError


def make_room(module: nn.Module, names: Iterable[str], state_dict: dict[str, Any], prefix: str) -> None:
    """Give a module's own buffers the shapes of those about to be loaded; a buffer that is None has none.

    A buffer stays on its device; one that is None goes where the loaded one is.
    """
    for name in names:
        if prefix + name in state_dict:
            old, new = getattr(module, name), state_dict[prefix + name]
            setattr(module, name, torch.empty_like(new, device=new.device if old is None else old.device))


def check_count(texts: Sequence[str] | None, rows: Tensor | None) -> None:
    """Refuse an index whose rows are not as many as the texts, where both are known.

    Raises:
        InputError: naming both numbers.
    """
    if texts is not None and rows is not None and len(texts) != len(rows):
        raise InputError(f"the state indexes {len(rows)} documents, not these {len(texts)}: pass the same ones")

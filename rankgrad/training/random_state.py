"""The random numbers of a run, carried across a kill."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import distributed


class RandomState(pl.Callback):
    """Carry the state of the torch, numpy and python generators in the checkpoint: dropout goes on where it stopped."""

    def __init__(self) -> None:
        self._loaded: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        """The generators' states, of every process."""
        own = random_state()
        if not distributed.is_initialized():
            return {"processes": [own]}
        states: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(states, own)
        return {"processes": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the states until training starts: what Lightning sets up before that draws numbers too."""
        self._loaded = state_dict["processes"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set the generators back."""
        if trainer.global_rank < len(self._loaded):
            set_random_state(self._loaded[trainer.global_rank])
        self._loaded = []


def random_state() -> dict[str, Any]:
    """The state of every generator of this process, as plain values and tensors."""
    name, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, keys.tolist(), position, has_gauss, gauss),  # type: ignore[union-attr]
        "python": random.getstate(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """The inverse of :func:`random_state`.

    Example:
        >>> state = random_state()
        >>> first = torch.rand(2), random.random(), np.random.rand()
        >>> set_random_state(state)
        >>> torch.equal(torch.rand(2), first[0]), random.random() == first[1], np.random.rand() == first[2]
        (True, True, True)
    """
    torch.set_rng_state(state["torch"])
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])

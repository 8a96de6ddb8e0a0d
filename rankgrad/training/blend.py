"""Weights between those before a training and those after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError

Model = TypeVar("Model", bound=nn.Module)


@torch.no_grad()
def blend_weights(model: Model, start: nn.Module | Mapping[str, Tensor], *, share: float = 0.5) -> Model:
    """Keep a share of what a training changed: each weight becomes ``start + share (trained - start)``, in place.

    A short training on few queries takes a model away from what it knew of all others. On the way back it loses little
    of what it gained, and is often better than at either end; it costs one addition, and no run is needed to try it.

    Args:
        model: the trained one.
        start: the model that it was before, or its ``state_dict`` (cloned: a training changes weights in place). A head
            that began at random should not be blended: give its trained weights here too.
        share: 0 = as it was before, 1 = as it was trained.

    Returns:
        ``model``. Its buffers (a fitted transform of features, running statistics) stay as they are.

    Raises:
        InputError: for a share outside [0, 1], or weights of another model; nothing is changed then.

    Reference:
        Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022 (WiSE-FT).

    Example:
        >>> trained, start = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(trained.weight, 3.0), nn.init.constant_(start.weight, 1.0)
        >>> blend_weights(trained, start, share=0.25).weight.item()
        1.5
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share}: give a number from 0 (as before) to 1 (as trained)")
    before = start.state_dict() if isinstance(start, nn.Module) else start
    after = model.state_dict(keep_vars=True)
    apart = sorted(after.keys() ^ before.keys())
    apart += [name for name in after.keys() & before.keys() if after[name].shape != before[name].shape]
    if apart:
        raise InputError(
            f"start: {apart[0]} is not the same in both models ({len(apart)} such): give what this very model was"
        )
    done = set()
    for name, weight in after.items():
        # Tied weights are one memory under several names; what has no address of its own is told by the object.
        place = (weight.data_ptr() or id(weight), weight.shape)
        if isinstance(weight, nn.Parameter) and weight.is_floating_point() and place not in done:
            weight.lerp_(before[name].to(weight), 1 - share)
        done.add(place)
    return model

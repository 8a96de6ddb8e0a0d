"""The optimizer's parameter groups and the learning rate by step."""

from __future__ import annotations

import math
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from rankgrad._checks import InputError

Decay = Literal["linear", "cosine", "constant"]


def check_at_least_0(**values: float | None) -> None:
    """Refuse what would train away from the loss.

    Args:
        values: numbers by the name that messages give them; None = not given.

    Raises:
        InputError: for a number that is below 0 or not finite.

    Example:
        >>> check_at_least_0(learning_rate=1e-3, head_learning_rate=None)
        >>> check_at_least_0(learning_rate=-1.0)
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: learning_rate=-1.0: expected a finite number of at least 0
    """
    for name, value in values.items():
        if value is not None and not 0 <= value < math.inf:
            raise InputError(f"{name}={value}: expected a finite number of at least 0")


def parameter_groups(
    model: nn.Module, *, learning_rate: float, weight_decay: float, head_learning_rate: float | None = None
) -> list[dict[str, Any]]:
    """Split trainable parameters into AdamW groups: matrices decay, biases and norms do not; the head may learn faster.

    The head is everything outside ``model.encoder`` (or, where there are several, ``model.encoders``): it starts from
    nothing, while an encoder only has to be adjusted.

    Args:
        model: the ranker.
        learning_rate: peak rate of the encoder, and of the head where it has none of its own.
        weight_decay: pull of the matrices towards 0 a step, relative to the learning rate.
        head_learning_rate: peak rate of the head.

    Returns:
        Groups with ``params``, ``lr``, ``weight_decay`` and ``peak`` (the highest ``lr``); empty groups are left out.

    Raises:
        InputError: when nothing is trainable, a head rate is given for a model without an ``encoder``, or a rate or the
            decay is below 0.

    Reference:
        Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019.

    Example:
        >>> groups = parameter_groups(nn.Linear(2, 1), learning_rate=1e-3, weight_decay=0.1)
        >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
        [(1, 0.1), (1, 0.0)]
    """
    check_at_least_0(learning_rate=learning_rate, weight_decay=weight_decay, head_learning_rate=head_learning_rate)
    encoders = getattr(model, "encoders", None) or (getattr(model, "encoder", None),)
    inside = {one for part in encoders if isinstance(part, nn.Module) for one in part.parameters()}
    if head_learning_rate is not None and not inside:
        raise InputError(
            f"head_learning_rate: {type(model).__name__} has no .encoder to tell a head from; leave it None"
        )
    rates = {True: learning_rate, False: learning_rate if head_learning_rate is None else head_learning_rate}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in model.parameters():
        if parameter.requires_grad:
            rate = rates[parameter in inside]
            groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    if not groups:
        raise InputError("the model has no parameter that requires a gradient: unfreeze at least one")
    return [
        {"params": parameters, "lr": rate, "peak": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def keep_own_rates(optimizer: Optimizer) -> None:
    """Let a state that is loaded later leave each group's ``peak`` and ``weight_decay``: a resumed run has its own.

    Raises:
        InputError: when the state is loaded, for one of other groups.

    Example:
        >>> from torch.optim import AdamW
        >>> before, now = (
        ...     AdamW(parameter_groups(nn.Linear(2, 1), learning_rate=rate, weight_decay=0.1)) for rate in (1e-3, 1e-4)
        ... )
        >>> keep_own_rates(now)
        >>> now.load_state_dict(before.state_dict())
        >>> [group["peak"] for group in now.param_groups]
        [0.0001, 0.0001]
    """
    optimizer.register_load_state_dict_pre_hook(_with_own_rates)


def learning_rate_factor(step: int, *, total: int, warmup: float, decay: Decay = "linear") -> float:
    """The share of the peak learning rate at an optimizer step: up in a line, then down by ``decay``.

    Args:
        step: counted from 0.
        total: steps of the whole run.
        warmup: below 1 a share of ``total``, from 1 on a number of steps.
        decay: ``linear`` and ``cosine`` end at 0, ``constant`` stays.

    Example:
        >>> [learning_rate_factor(step, total=10, warmup=0.2) for step in (0, 1, 2, 6, 10)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    rise = round(warmup * total) if warmup < 1 else int(warmup)
    if step < rise:
        return (step + 1) / rise
    if decay == "constant":
        return 1.0
    done = min((step - rise) / max(total - rise, 1), 1.0)
    return 1 - done if decay == "linear" else (1 + math.cos(math.pi * done)) / 2


def set_learning_rates(optimizer: Optimizer, factor: float) -> None:
    """Give each parameter group ``factor`` times its ``peak``.

    Example:
        >>> from torch.optim import AdamW
        >>> optimizer = AdamW(parameter_groups(nn.Linear(2, 1), learning_rate=1e-3, weight_decay=0.1))
        >>> set_learning_rates(optimizer, 0.5)
        >>> [group["lr"] for group in optimizer.param_groups]
        [0.0005, 0.0005]
    """
    for group in optimizer.param_groups:
        group["lr"] = factor * group["peak"]


def _with_own_rates(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    saved, own = state["param_groups"], optimizer.param_groups
    there, here = ([len(group["params"]) for group in groups] for groups in (saved, own))
    if there != here:
        raise InputError(
            f"the checkpoint has the parameters in groups of {there}, and this run in groups of {here}: resume with "
            "head_learning_rate (given or not), weight_decay (0 or not) and frozen layers as it was made with"
        )
    kept = [{name: group[name] for name in ("peak", "weight_decay")} for group in own]
    return {**state, "param_groups": [{**group, **rates} for group, rates in zip(saved, kept, strict=True)]}

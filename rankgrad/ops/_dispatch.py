"""Which implementation of an operator runs."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from rankgrad._checks import InputError

Backend: TypeAlias = Literal["auto", "triton", "reference"]
Implementation: TypeAlias = Literal["tiled", "reference"]


def resolve_backend(
    backend: Backend, device: torch.device, *, op: str, tiled_devices: tuple[str, ...] | None = None
) -> Implementation:
    """Choose between the tiled implementation and the reference.

    The reference runs when asked for, while exporting (a graph must hold plain operators) and while compiling (the
    compiler fuses the reference itself). ``"auto"`` otherwise takes the tiled implementation on the devices it serves.

    Args:
        backend: ``"auto"``, ``"reference"`` or ``"triton"``.
        device: where the operands are.
        op: the operator's public name, for messages.
        tiled_devices: device types the tiled implementation is for; None = all.

    Returns:
        ``"tiled"`` or ``"reference"``.

    Raises:
        InputError: for an unknown backend, and for ``"triton"``, which has no kernel to run in this version.

    Example:
        >>> resolve_backend("auto", torch.device("cpu"), op="maxsim")
        'tiled'
        >>> resolve_backend("triton", torch.device("cpu"), op="maxsim")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: backend: "triton" cannot run: maxsim has no Triton kernel in this version; ...
    """
    if backend == "triton":
        raise InputError(
            f'backend: "triton" cannot run: {op} has no Triton kernel in this version; use "auto" or "reference"'
        )
    if backend not in ("auto", "reference"):
        raise InputError(f'backend: expected "auto", "triton" or "reference", got {backend!r}')
    if backend == "reference" or torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export():
        return "reference"
    if tiled_devices is not None and device.type not in tiled_devices:
        return "reference"
    return "tiled"

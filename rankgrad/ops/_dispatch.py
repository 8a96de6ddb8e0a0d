"""Which implementation of an operator runs."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Literal, TypeAlias

import torch

from rankgrad._checks import InputError

Backend: TypeAlias = Literal["auto", "triton", "reference"]
Implementation: TypeAlias = Literal["triton", "tiled", "reference"]
# Looked for once: torch.compile cannot trace the search, which takes longer than a small operator.
_TRITON_IS_INSTALLED = find_spec("triton") is not None


def resolve_backend(
    backend: Backend,
    device: torch.device,
    *,
    op: str,
    dtype: torch.dtype = torch.float32,
    kernels: bool = False,
    tiled_devices: tuple[str, ...] | None = None,
    compiles: bool = False,
) -> Implementation:
    """Choose between Triton kernels, the tiled implementation and the reference.

    While exporting it is always the reference: a graph must hold plain operators. A forced backend otherwise runs or is
    an error. ``"auto"`` takes kernels on CUDA and the tiled implementation on the devices it serves; under
    ``torch.compile`` only where both are opaque operators, since the compiler fuses a reference itself.

    Args:
        backend: ``"auto"``, ``"triton"`` or ``"reference"``.
        device: where the operands are.
        op: the operator's public name, for messages.
        dtype: what the operator accumulates in; kernels accumulate in float32.
        kernels: the operator has Triton kernels.
        tiled_devices: device types the tiled implementation is for; None = all.
        compiles: its implementations are opaque to the compiler.

    Raises:
        InputError: for an unknown backend, and for ``"triton"`` where it cannot run.

    Example:
        >>> resolve_backend("auto", torch.device("cpu"), op="maxsim")
        'tiled'
        >>> resolve_backend("triton", torch.device("cpu"), op="masked_mean")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: backend: "triton" cannot run: masked_mean has no Triton kernel in this version; ...
    """
    if backend not in ("auto", "triton", "reference"):
        raise InputError(f'backend: expected "auto", "triton" or "reference", got {backend!r}')
    # Asked only where the answer counts.
    asked = backend == "triton" or (backend == "auto" and device.type == "cuda")
    obstacle = _obstacle(device, op, dtype, kernels) if asked else None
    if backend == "triton" and obstacle:
        raise InputError(f'backend: "triton" cannot run: {obstacle}; use "auto" or "reference"')
    compiling = torch.compiler.is_compiling() and not compiles
    if backend == "reference" or torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return "reference"
    if backend == "triton":
        return "triton"
    if compiling:
        return "reference"
    if device.type == "cuda" and obstacle is None:
        return "triton"
    if tiled_devices is not None and device.type not in tiled_devices:
        return "reference"
    return "tiled"


def _obstacle(device: torch.device, op: str, dtype: torch.dtype, kernels: bool) -> str | None:
    """Why Triton kernels cannot run, None where they can."""
    if not kernels:
        return f"{op} has no Triton kernel in this version"
    if not _TRITON_IS_INSTALLED:
        return "triton is not installed (pip install triton)"
    if dtype == torch.float64:
        return "its kernels accumulate in float32 and an operand is float64"
    if device.type in ("cuda", "meta"):
        return None
    if device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1":
        return None
    return f"it needs tensors on a CUDA device, these are on {device} (or, for tests, TRITON_INTERPRET=1)"

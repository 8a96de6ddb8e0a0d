"""Compile kernels for GPUs that are not here, from the launches that the package itself makes.

Run as a script, in a process in which triton does not interpret: a list of problems in, a list of findings out.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
_TYPES = {
    torch.float64: "*fp64",
    torch.float32: "*fp32",
    torch.float16: "*fp16",
    torch.bfloat16: "*bf16",
    torch.int64: "*i64",
    torch.int32: "*i32",
    torch.int8: "*i8",
    torch.uint8: "*u8",
}
_OPTIONS = ("num_warps", "num_stages")


class Launch(NamedTuple):
    """A kernel and what it was called with."""

    kernel: Any
    arguments: dict[str, Any]
    options: dict[str, int]


class Recorder:
    """Stands in for a kernel: keeps its launches, runs nothing."""

    def __init__(self, kernel: Any, launches: list[Launch]) -> None:
        self.kernel, self.launches = kernel, launches

    def __getitem__(self, grid: Any) -> Any:
        def launch(*arguments: Any, **named: Any) -> None:
            options = {name: named.pop(name) for name in _OPTIONS if name in named}
            bound = dict(zip(self.kernel.arg_names, arguments, strict=False)) | named
            assert set(bound) == set(self.kernel.arg_names), set(bound) ^ set(self.kernel.arg_names)
            self.launches.append(Launch(self.kernel, bound, options))

        return launch


def source(launch: Launch) -> ASTSource:
    """The launch as triton specialises it: types, constants, and what is divisible by 16."""
    signature, constants, attributes = {}, {}, {}
    for place, parameter in enumerate(launch.kernel.params):
        value = launch.arguments[parameter.name]
        if isinstance(value, Tensor):
            signature[parameter.name] = _TYPES[value.dtype]
            attributes[(place,)] = [["tt.divisibility", 16]]
        elif parameter.is_constexpr or value is None or (type(value) is int and value == 1 and _specialised(parameter)):
            signature[parameter.name] = "constexpr"
            constants[(place,)] = value
        elif isinstance(value, float):
            # Whatever its value: triton takes none of a float's for a constant.
            signature[parameter.name] = "fp32"
        else:
            signature[parameter.name] = "i32" if -(2**31) <= value < 2**31 else "i64"
            if value % 16 == 0 and _specialised(parameter):
                attributes[(place,)] = [["tt.divisibility", 16]]
    return ASTSource(launch.kernel, signature, constants, attributes)


def _specialised(parameter: Any) -> bool:
    return not parameter.do_not_specialize


def compile_for(launch: Launch, target: str) -> dict[str, Any]:
    """Build machine code; its shared memory in bytes, spilled bytes (None where unknown), matrix instructions."""
    built = triton.compile(source(launch), target=TARGETS[target], options=launch.options)
    nvidia = "ptx" in built.asm
    text = built.asm["ptx" if nvidia else "amdgcn"]
    return {
        "shared": built.metadata.shared,
        "spilled": _spilled(built.asm["cubin"]) if nvidia else None,
        "instructions": sorted(set(re.findall(r"wgmma\.mma_async|tcgen05\.mma|mma\.sync|v_mfma", text))),
        "size": len(built.asm["cubin" if nvidia else "hsaco"]),
    }


def _spilled(cubin: bytes) -> int:
    """Bytes of local memory that a thread uses, for want of registers."""
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        done = subprocess.run([tool, "--dump-resource-usage", file], capture_output=True, text=True, check=True)
    return sum(int(number) for number in re.findall(r"(?:STACK|LOCAL):(\d+)", done.stdout))

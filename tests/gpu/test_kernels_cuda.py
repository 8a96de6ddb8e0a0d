"""Every kernel of lists on CUDA, forward and backward, against the definition; MaxSim's are in ``test_cuda.py``."""

from __future__ import annotations

import pytest
import torch

from benchmarks import gpu_kernels

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: bash benchmarks/gpu.sh")


@pytest.mark.parametrize("size", gpu_kernels.SIZES, ids=str)
@pytest.mark.parametrize("name", gpu_kernels.CALLS)
def test_kernels(name: str, size: tuple[int, int]) -> None:
    pytest.importorskip("triton")
    gpu_kernels.check(gpu_kernels.CALLS[name], *size)


@pytest.mark.parametrize("name", gpu_kernels.LONG_CALLS)
def test_kernels_of_long_lists(name: str) -> None:
    pytest.importorskip("triton")
    gpu_kernels.check(gpu_kernels.LONG_CALLS[name], *gpu_kernels.LONG)

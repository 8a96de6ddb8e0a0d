"""What is run on a GPU agrees on a CPU, by the paths of a CPU and with interpreted kernels."""

from __future__ import annotations

import pytest

from benchmarks import gpu_kernels


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("backend", ["auto", "triton"])
@pytest.mark.parametrize("name", gpu_kernels.CALLS)
def test_calls(name: str, backend: str) -> None:
    if backend == "triton":
        pytest.importorskip("triton")
    gpu_kernels.check(gpu_kernels.CALLS[name], 2, 6, backend=backend, device="cpu")


@pytest.mark.parametrize("name", gpu_kernels.LONG_CALLS)
def test_calls_of_long_lists(name: str) -> None:
    gpu_kernels.check(gpu_kernels.LONG_CALLS[name], *gpu_kernels.LONG, backend="auto", device="cpu")

"""Which implementation runs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.ops import _dispatch
from rankgrad.ops._dispatch import resolve_backend

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.mark.parametrize(
    ("backend", "device", "tiled_devices", "expected"),
    [
        ("auto", CPU, None, "tiled"),
        ("auto", META, None, "tiled"),
        ("auto", CPU, ("cpu",), "tiled"),
        ("auto", META, ("cpu",), "reference"),
        ("reference", CPU, None, "reference"),
    ],
)
def test_choice(backend: Any, device: torch.device, tiled_devices: Any, expected: str) -> None:
    assert resolve_backend(backend, device, op="op", tiled_devices=tiled_devices) == expected


@pytest.mark.parametrize("backend", ["triton", "cuda"])
def test_a_backend_that_cannot_run_is_an_error(backend: Any) -> None:
    with pytest.raises(InputError, match="backend: "):
        resolve_backend(backend, CPU, op="op")


def test_exporting_takes_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []

    class Chooser(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            chosen.append(resolve_backend("auto", x.device, op="op"))
            return x + 1

    torch.export.export(Chooser(), (torch.ones(2),), strict=False)
    assert set(chosen) == {"reference"}
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    assert resolve_backend("auto", CPU, op="op") == "reference"


def test_triton_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiler cannot trace the search, which would break the graph of every operator on a GPU."""

    def searched(name: str) -> None:
        raise AssertionError(f"searched for {name}")

    monkeypatch.setattr(_dispatch, "find_spec", searched)
    cuda = torch.device("cuda")
    installed = find_spec("triton") is not None
    assert resolve_backend("auto", cuda, op="op", kernels=True) == ("triton" if installed else "tiled")
    chosen = torch.compile(lambda: resolve_backend("auto", cuda, op="op", kernels=True, compiles=True), fullgraph=True)
    assert chosen() == ("triton" if installed else "tiled")

"""Kernels are launched on the device of what they read."""

from __future__ import annotations

import ast
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from rankgrad import ops
from rankgrad.ops._launch import on_device_of

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_the_operands_device_is_the_current_one_for_the_launch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    current = ["cuda:0"]

    @contextmanager
    def device(name: str) -> Iterator[None]:
        current.append(name)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "device", device)
    seen: list[Any] = []
    kernel = {(3,): lambda *operands, **options: seen.append((current[-1], operands, options))}
    far: Any = SimpleNamespace(is_cuda=True, device="cuda:1")
    on_device_of(far, kernel, (3,))(far, 7, BLOCK=16)
    assert seen == [("cuda:1", (far, 7), {"BLOCK": 16})]
    assert current == ["cuda:0"]
    on_device_of(torch.ones(1), kernel, (3,))()
    assert seen[1] == ("cuda:0", (), {})


def test_no_kernel_is_launched_in_another_way() -> None:
    folder = Path(ops.__file__).parent
    others = {
        f"{path.relative_to(folder)}:{node.lineno}"
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Subscript)
    }
    assert others == set()
    launching = {path for path in folder.rglob("*launch.py") if "on_device_of(" in path.read_text()}
    assert launching == {*folder.rglob("*launch.py")}

"""Where and with what something was measured."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ABSENT = "absent"


class Environment(NamedTuple):
    """The columns of a result that say where it comes from."""

    machine: str
    python: str
    torch: str
    onnxruntime: str
    transformers: str
    sentence_transformers: str
    commit: str
    date: str


def environment(device: str = "cpu") -> Environment:
    """This machine, these versions, today. A commit with ``+`` had changes that are not committed."""
    return Environment(
        machine=machine(device),
        python=platform.python_version(),
        torch=_version("torch"),
        onnxruntime=_version("onnxruntime"),
        transformers=_version("transformers"),
        sentence_transformers=_version("sentence-transformers"),
        commit=commit(),
        date=datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
    )


def machine(device: str = "cpu") -> str:
    """The model of the GPU, or that of the CPU with the cores this process may use."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_cpu()}, {cores} cores"


def slug(text: str) -> str:
    """A name for a file.

    Example:
        >>> slug("AMD EPYC (R), 2 cores")
        'amd-epyc-r-2-cores'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def commit() -> str:
    """The commit checked out, ``unknown`` outside a git checkout."""
    found = _git("rev-parse", "--short", "HEAD")
    if not found:
        return "unknown"
    return found + ("+" if _git("status", "--porcelain", "--", "rankgrad", "benchmarks/*.py") else "")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = re.findall(r"^model name\s*:\s*(.+)$", information.read_text(), flags=re.MULTILINE)
        if names:
            return names[0].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ABSENT

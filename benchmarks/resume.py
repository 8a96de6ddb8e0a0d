"""Trainings that are killed again and again, beside one that nobody disturbs."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.options import Options
from benchmarks.record import Row, row
from benchmarks.workers import WorkerError

CASE = "resume"
KILLS = 10
_WORKER = "benchmarks.resume_training"
_PATIENCE = 300.0


def run(options: Options) -> list[Row]:
    """Kill a training at random steps, resume it each time, and compare its last weights with the undisturbed ones."""
    if options.device != "cpu":
        raise WorkerError("the resume case is measured on the CPU: leave --device out")
    kills, steps = (1, 12) if options.quick else (KILLS, 60)
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _undisturbed(folder / "whole", options, steps)
        # Each kill falls into a tenth of the run of its own, so that the run comes further between two of them.
        share = (steps - 2) / kills
        for kill in range(kills):
            step = 1 + int(kill * share) + draw.randrange(max(int(share), 1))
            process = _start(folder / "killed", options, steps)
            reached = _kill_at(process, folder / "killed" / "metrics.csv", step)
            print(f"kill {kill + 1}: after step {reached}", flush=True)
        _undisturbed(folder / "killed", options, steps)
        difference, equal = _compare(folder / "whole", folder / "killed")
    plural = "s" if kills > 1 else ""
    setting = f"ColBERT, {steps} steps, {kills} kill{plural}, a checkpoint every 4 steps"
    return [
        row(CASE, "rankgrad", setting, "survived", "kills", kills),
        row(CASE, "rankgrad", setting, "losses and metrics equal", "", float(equal)),
        row(CASE, "rankgrad", setting, "largest difference of a weight", "", difference),
    ]


def _start(folder: Path, options: Options, steps: int) -> subprocess.Popen:
    """Begin the training, or go on with it."""
    command = [sys.executable, "-m", _WORKER, str(folder), options.model, str(steps), str(int(options.quick))]
    variables = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    sys.stdout.flush()
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables})


def _undisturbed(folder: Path, options: Options, steps: int) -> None:
    """Train to the end."""
    if options.quick:  # Starting a process takes longer than a quick training.
        from benchmarks.resume_training import train

        train(folder, options.model, steps, quick=True)
        return
    process = _start(folder, options, steps)
    if process.wait() != 0:
        raise WorkerError(f"{_WORKER} ended with exit code {process.returncode}; its output is above")


def _kill_at(process: subprocess.Popen, curves: Path, step: int) -> int:
    """Kill the training, the way a machine that goes down does, once it has written a step; gives the last written."""
    deadline = time.monotonic() + _PATIENCE
    while (reached := _steps(curves)) < step:
        if process.poll() is not None:
            raise WorkerError(f"{_WORKER} ended at step {reached}, before it could be killed after step {step}")
        if time.monotonic() > deadline:
            process.kill()
            raise WorkerError(f"{_WORKER} did not come to step {step} in {_PATIENCE:g} s")
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return reached


def _steps(curves: Path) -> int:
    """The last whole line's step; -1 before there is one."""
    if not curves.is_file():
        return -1
    lines = [line for line in curves.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return int(lines[-1].split(",")[0]) if len(lines) > 1 else -1


def _compare(whole: Path, killed: Path) -> tuple[float, bool]:
    """The largest difference between two weights at the end, and whether all losses and metrics are equal."""
    from rankgrad.training import read_curves
    from rankgrad.training.checkpoints import checkpoints_in, read_checkpoint

    states = [read_checkpoint(checkpoints_in(folder / "checkpoints")[0]) for folder in (whole, killed)]
    if states[0]["global_step"] != states[1]["global_step"]:
        raise WorkerError(f"the runs ended at steps {states[0]['global_step']} and {states[1]['global_step']}")
    first, second = (state["state_dict"] for state in states)
    difference = max(float((weight.double() - second[name].double()).abs().max()) for name, weight in first.items())
    return difference, read_curves(whole / "metrics.csv") == read_curves(killed / "metrics.csv")

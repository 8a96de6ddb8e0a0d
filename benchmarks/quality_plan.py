"""Which runs there are, which of them are asked for, and which are done already."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from benchmarks.machine import ROOT
from benchmarks.options import Options
from benchmarks.quality_data import QUICK, Sizes
from benchmarks.quality_recipes import Recipe
from rankgrad._checks import InputError
from rankgrad._files import atomic_file

Budget = Literal["seconds", "steps"]
BUDGETS: tuple[Budget, ...] = ("seconds", "steps")
DATA = ("scifact", "pydoc")
SCIFACT = ROOT.parent / "shared" / "data" / "text_scifact"
RUNS = ROOT / "runs" / "quality"


@dataclass(frozen=True)
class Plan:
    """What the quality and projection cases are told.

    Args:
        seeds: trainings of each system.
        seconds: of a training by the clock.
        steps: of a training by steps, and of a study; 46 batches of 16 are an epoch of SciFact.
        budgets: which of both.
        only: ``SYSTEM,DATA,SEED,BUDGET`` of the runs to do now, from the left, ``*`` for any; none = all.
        variants: train what else was tried of rankgrad too.
        scifact: the collection's folder.
        runs: where each run's result is kept.
    """

    seeds: int = 3
    seconds: float = 300.0
    steps: int = 46
    budgets: tuple[Budget, ...] = BUDGETS
    only: tuple[str, ...] = ()
    variants: bool = False
    scifact: Path = SCIFACT
    runs: Path = RUNS


class Run(NamedTuple):
    """One training and what it is measured on."""

    recipe: Recipe
    data: str
    seed: int
    budget: Budget

    @property
    def name(self) -> str:
        """The name of its file."""
        return "--".join(self.keys)

    @property
    def keys(self) -> tuple[str, str, str, str]:
        """What ``--only`` is compared with."""
        return self.recipe.key, self.data, str(self.seed), self.budget


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of these cases."""
    default = Plan()
    group = parser.add_argument_group("quality, projection")
    group.add_argument("--seeds", type=int, default=default.seeds, help="trainings of each system (%(default)s)")
    group.add_argument("--seconds", type=float, default=default.seconds, help="of a training (%(default)s)")
    group.add_argument("--steps", type=int, default=default.steps, help="of a training by steps (%(default)s)")
    group.add_argument("--budgets", nargs="+", choices=BUDGETS, default=list(BUDGETS), help="which of both (both)")
    group.add_argument(
        "--only", action="append", default=[], metavar="SYSTEM,DATA,SEED,BUDGET",
        help="do these runs now and report all that are done; * is any; again for more",
    )  # fmt: skip
    group.add_argument("--variants", action="store_true", help="train what else was tried of rankgrad too")
    group.add_argument("--scifact", type=Path, default=SCIFACT, help="SciFact's folder (%(default)s)")
    group.add_argument("--runs", type=Path, default=RUNS, help="where runs are kept (%(default)s)")


def plan_of(arguments: argparse.Namespace) -> Plan:
    """What the command line says."""
    plan = Plan(
        seeds=arguments.seeds,
        seconds=arguments.seconds,
        steps=arguments.steps,
        budgets=tuple(arguments.budgets),
        only=tuple(arguments.only),
        variants=arguments.variants,
        scifact=arguments.scifact,
        runs=arguments.runs,
    )
    if plan.seeds < 1 or plan.steps < 1 or not plan.seconds > 0:
        raise InputError(f"seeds={plan.seeds}, steps={plan.steps}, seconds={plan.seconds}: all must be above 0")
    return plan


def runs_of(recipes: Sequence[Recipe], data: Sequence[str], seeds: int, budgets: Sequence[Budget]) -> list[Run]:
    """All runs, so ordered that every system has its first seed before any has its second."""
    return [
        Run(recipe, name, seed, budget)
        for seed, name, budget, recipe in product(range(seeds), data, budgets, dict.fromkeys(recipes))
    ]


def chosen(runs: Sequence[Run], only: Sequence[str]) -> list[Run]:
    """The runs that one of the patterns names.

    Raises:
        InputError: for a pattern that names none.
    """
    if not only:
        return list(runs)
    found = {pattern: [run for run in runs if _named(run, pattern)] for pattern in only}
    for pattern, some in found.items():
        if not some:
            systems = ", ".join(dict.fromkeys(run.recipe.key for run in runs))
            raise InputError(f"--only {pattern}: names no run; systems are {systems}")
    return [run for run in runs if any(run in some for some in found.values())]


def installed(runs: Sequence[Run]) -> list[Run]:
    """The runs whose library is there; a line for each library that is not."""
    libraries = dict.fromkeys(run.recipe.library for run in runs)
    missing = [name for name in libraries if find_spec(name) is None]
    for name in missing:
        print(f'skipped: {name} (not installed: pip install "rankgrad[bench]")')
    return [run for run in runs if run.recipe.library not in missing]


def job_of(run: Run, plan: Plan, options: Options) -> dict[str, Any]:
    """All that a run's result depends on."""
    by_steps = run.budget == "steps"
    sizes = QUICK if options.quick else Sizes()
    recipe = asdict(run.recipe) | ({"batch": 4, "negatives": min(run.recipe.negatives, 2)} if options.quick else {})
    return {
        "recipe": recipe,
        "data": run.data,
        "seed": run.seed,
        "steps": (2 if options.quick else plan.steps) if by_steps else None,
        "seconds": None if by_steps else plan.seconds,
        "model": options.model,
        "scifact": str(plan.scifact.resolve()),
        "sizes": list(sizes),
        "quick": options.quick,
        "folder": str((plan.runs / ("quick" if options.quick else "") / run.name).resolve()),
    }


def kept(job: dict[str, Any]) -> dict[str, Any] | None:
    """The result of this very job, where it is done."""
    path = _file(job)
    if not path.exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    return stored["result"] if stored["job"] == job else None


def do(job: dict[str, Any], work: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The result of a job: the kept one, or that of doing it, which is kept then and its model removed."""
    found = kept(job)
    if found is not None:
        return found
    folder, note = Path(job["folder"]), Path(job["folder"]) / "job.json"
    # What a killed run of the same job has left is taken up; of another job it is removed.
    if not note.exists() or json.loads(note.read_text(encoding="utf-8")) != job:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(note) as temporary:
        temporary.write_text(json.dumps(job), encoding="utf-8")
    result = work(job)
    with atomic_file(_file(job)) as temporary:
        temporary.write_text(json.dumps({"job": job, "result": result}), encoding="utf-8")
    shutil.rmtree(folder)
    return result


def _file(job: dict[str, Any]) -> Path:
    return Path(job["folder"] + ".json")


def _named(run: Run, pattern: str) -> bool:
    parts = [part.strip() for part in pattern.split(",")]
    return len(parts) <= len(run.keys) and all(
        part in ("", "*", key) for part, key in zip(parts, run.keys, strict=False)
    )

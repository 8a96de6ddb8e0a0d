"""Quality after training beside peers: nDCG@10 of what BM25 found, put in order by each library's trained models."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.left_out import unless_left_out
from benchmarks.options import Options
from benchmarks.quality_plan import DATA, Plan, Run, chosen, do, installed, job_of, kept, runs_of
from benchmarks.quality_recipes import SYSTEMS, VARIANTS, Recipe
from benchmarks.quality_report import Measured, lines, rows_of
from benchmarks.record import Row
from benchmarks.workers import WorkerError, run_worker

CASE = "quality"


def run(options: Options, plan: Plan) -> list[Row]:
    """Train every system from the same weights on the same lists, by steps and by the clock, and compare.

    Every run is a process of its own, and its result a file; what is there already is not done again. The rows of each
    collection and budget are a case, and so a CSV, of their own: those measured elsewhere or earlier stay as they are.
    """
    runs = _study(_kinds(SYSTEMS), options, plan) if options.quick else runs_of(SYSTEMS, DATA, plan.seeds, plan.budgets)
    if plan.variants:
        more = _study(_losses(VARIANTS) if options.quick else VARIANTS, options, plan)
        runs += [each for each in more if each not in runs]
    return measured_rows(lambda each: f"{CASE}_{each.data}_{each.budget}", runs, options, plan)


def study(case: str, recipes: Sequence[Recipe], options: Options, plan: Plan) -> list[Row]:
    """Systems on the built-in collection for the same number of steps."""
    return measured_rows(lambda each: case, _study(recipes, options, plan), options, plan)


def measured_rows(case_of: Callable[[Run], str], runs: Sequence[Run], options: Options, plan: Plan) -> list[Row]:
    """Do the runs that are asked for and give the rows of all that are done.

    Args:
        case_of: the case that a run's rows belong to.

    Raises:
        WorkerError: when one of ours fails, or none is done. Those before it are kept.
    """
    if options.device != "cpu":
        raise WorkerError("trainings are compared on the CPU: leave --device out")
    if any(each.data == "scifact" for each in runs) and not plan.scifact.is_dir():
        print(f"skipped: scifact (no folder {plan.scifact}; name it with --scifact)")
        runs = [each for each in runs if each.data != "scifact"]
    threads = 1 if options.quick else _cores()
    asked = installed(chosen(runs, plan.only))
    for place, each in enumerate(asked, 1):
        job, started = job_of(each, plan, options), time.perf_counter()
        label = f"{case_of(each)}, run {place} of {len(asked)}: {each.name}"
        if kept(job) is not None:
            print(f"{label}: there already", flush=True)
            continue
        print(label, flush=True)
        work = partial(run_worker, "benchmarks.quality_worker", threads=threads)
        result = unless_left_out(each.recipe.name, each.data, partial(do, job, work))
        if result is None:
            continue
        means = {
            f"{part}, {name}": sum(values) / len(values)
            for part, scores in result["tests"].items()
            for name, values in scores.items()
        }
        told = "; ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        print(f"  {time.perf_counter() - started:.0f} s in all; {told}", flush=True)
    jobs = {each: job_of(each, plan, options) for each in runs}
    found = [Measured(each, job, result) for each, job in jobs.items() if (result := kept(job)) is not None]
    print(f"{len(found)} of {len(runs)} runs are done; they are in {plan.runs}")
    if not found:
        raise WorkerError("no run is done")
    cases: dict[str, list[Measured]] = {}
    for measured in found:
        cases.setdefault(case_of(measured.run), []).append(measured)
    rows = [row for case, members in cases.items() for row in rows_of(case, members, threads=threads)]
    print("\n".join(lines(rows)))
    return rows


def _study(recipes: Sequence[Recipe], options: Options, plan: Plan) -> list[Run]:
    return runs_of(recipes, ("pydoc",), 1 if options.quick else plan.seeds, ("steps",))


def _kinds(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The first of each library and kind of model."""
    return list({(each.library, each.pair): each for each in reversed(recipes)}.values())[::-1]


def _losses(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The first of each kind of model and loss."""
    return list({(each.pair, each.loss): each for each in reversed(recipes)}.values())[::-1]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""From the results of runs to rows: means, intervals over seeds and queries, tests over queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.ltr_quality import estimate
from benchmarks.measure import Spread, spread
from benchmarks.quality_plan import Run
from benchmarks.record import Row, row
from benchmarks.show import OURS
from rankgrad.metrics import randomization_test

BASELINE = "BM25"
PURE, SHARED = "nDCG@10", "nDCG@10 with a share of BM25's score"
INTERVAL = "mean and 95 % interval over seeds and queries"
TEST = "p by randomisation test over queries"


class Measured(NamedTuple):
    """A run, what was asked of it, and what it gave."""

    run: Run
    job: dict[str, Any]
    result: dict[str, Any]


class System(NamedTuple):
    """One system in one setting: values ``[seeds, queries]`` of its scores alone and with BM25's share."""

    name: str
    pair: bool
    pure: Tensor
    shared: Tensor
    members: list[Measured]


def rows_of(case: str, measured: Sequence[Measured], *, threads: int) -> list[Row]:
    """All rows of a case, a setting a part of the test and budget."""
    found = []
    settings: dict[tuple[str, str, str], list[Measured]] = {}
    for each in measured:
        for part in each.result["tests"]:
            settings.setdefault((each.run.data, part, _budget(each, threads)), []).append(each)
    for (data, part, budget), members in settings.items():
        baseline = torch.tensor(members[0].result["tests"][part][BASELINE])
        setting = f"{data} {part}, {len(baseline)} queries, {budget}"
        systems = _systems(members, part)
        for system in systems:
            found += _quality(case, setting, system, baseline)
            found += _beside_peers(case, setting, system, systems)
        found += [
            row(case, BASELINE, setting, f"{name}, {INTERVAL}", "nDCG", Spread(*estimate(baseline.unsqueeze(0))))
            for name in (PURE, SHARED)
        ]
    return found


def difference(a: Tensor, b: Tensor) -> tuple[Spread, float]:
    """The interval of ``mean(a - b)`` over seeds and queries, and the p-value of the queries' means over the seeds.

    Where both have as many seeds, seed is compared with seed; else with the other's mean.

    Shape:
        ``[seeds, queries]`` each.

    Example:
        >>> interval, p = difference(torch.tensor([[1.0, 1.0, 1.0]]), torch.tensor([[0.5, 0.5, 0.5]]))
        >>> interval.p50, p
        (0.5, 0.25)
    """
    paired = a - (b if len(a) == len(b) else b.mean(dim=0, keepdim=True))
    test = randomization_test(a.double().mean(dim=0), b.double().mean(dim=0))
    return Spread(*estimate(paired)), test.p_value


def lines(rows: Sequence[Row]) -> list[str]:
    """What a person wants to know, a line a system: means, what they are above BM25, and whether that is chance."""
    named = {(each.setting, each.provider, each.metric): each for each in rows}
    made = []
    for (setting, provider, metric), each in named.items():
        if not metric.endswith(f", {INTERVAL}") or " less " in metric:
            continue
        name = metric.removesuffix(f", {INTERVAL}")
        text = f"{setting}: {provider}: {name} {each.p50:.4f} [{each.p20:.4f}, {each.p80:.4f}]"
        for (where, who, what), p in named.items():
            if (where, who) == (setting, provider) and what.startswith(f"{name} less ") and what.endswith(TEST):
                other = what.removeprefix(f"{name} less ").removesuffix(f", {TEST}")
                gap = named[where, who, f"{name} less {other}, {INTERVAL}"].p50
                text += f"; {gap:+.4f} to {other} (p {p.p50:.3g})"
        made.append(text)
    return made


def _systems(members: Sequence[Measured], part: str) -> list[System]:
    names: dict[str, list[Measured]] = {}
    for each in members:
        names.setdefault(each.run.recipe.name, []).append(each)
    return [
        System(
            name,
            some[0].run.recipe.pair,
            torch.tensor([each.result["tests"][part]["pure"] for each in some]),
            torch.tensor([each.result["tests"][part]["shared"] for each in some]),
            some,
        )
        for name, some in names.items()
    ]


def _quality(case: str, setting: str, system: System, baseline: Tensor) -> list[Row]:
    seeds, results = len(system.members), [each.result for each in system.members]
    found = []
    for name, values in ((PURE, system.pure), (SHARED, system.shared)):
        found.append(row(case, system.name, setting, f"{name}, {INTERVAL}", "nDCG", Spread(*estimate(values)), seeds))
        found += _less(case, setting, system.name, name, values, BASELINE, baseline.unsqueeze(0), seeds)
    told = {
        "documents a query put in order": [float(each["depth"]) for each in results],
        "weight of BM25's score, chosen on validation": [each["weight"] for each in results],
        "training, steps": [float(each["training"]["steps"]) for each in results],
    }
    if system.members[0].run.budget == "seconds":
        told["training, seconds"] = [each["training"]["seconds"] for each in results]
    return found + [row(case, system.name, setting, name, "", spread(some), seeds) for name, some in told.items()]


def _beside_peers(case: str, setting: str, system: System, systems: Sequence[System]) -> list[Row]:
    """Ours less each peer of its kind."""
    if not system.name.startswith(OURS):
        return []
    found = []
    for peer in systems:
        if peer.pair == system.pair and not peer.name.startswith(OURS):
            for name, ours, theirs in ((PURE, system.pure, peer.pure), (SHARED, system.shared, peer.shared)):
                found += _less(case, setting, system.name, name, ours, peer.name, theirs, len(system.members))
    return found


def _less(
    case: str, setting: str, name: str, metric: str, values: Tensor, other: str, others: Tensor, seeds: int
) -> list[Row]:
    interval, p = difference(values, others)
    return [
        row(case, name, setting, f"{metric} less {other}, {INTERVAL}", "", interval, seeds),
        row(case, name, setting, f"{metric} less {other}, {TEST}", "", p, seeds),
    ]


def _budget(each: Measured, threads: int) -> str:
    """Of steps whatever runs beside them, so neither threads nor seconds are told."""
    seconds, plural = each.job["seconds"], "s" if threads > 1 else ""
    if seconds is None:
        return f"{each.job['steps']} steps"
    return f"{seconds:g} s of training, {threads} thread{plural}"

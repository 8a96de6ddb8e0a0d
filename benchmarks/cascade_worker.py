"""The process that trains all cascades and fusions on one collection, and measures them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import cascade_data, cascade_fusion, cascade_systems
from benchmarks.cascade_data import Cached, cached
from benchmarks.cascade_systems import PEERS, SYSTEMS, final_scores, handed_on, one_by_one, quality
from benchmarks.ltr_quality import estimate
from benchmarks.measure import Spread, interleaved, spread
from benchmarks.random_model import source
from benchmarks.record import Row, row
from benchmarks.workers import answer
from rankgrad.pipeline import Cascade

INTERVAL = "mean and 95 % interval over seeds and queries"
_TIMED = 50


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    quick = job["quick"]
    sizes = cascade_data.QUICK if quick else cascade_data.Sizes()
    plan = cascade_systems.QUICK if quick else cascade_systems.Training()
    seeds = range(job["seeds"])
    with tempfile.TemporaryDirectory() as folder:
        model = source(job["model"], Path(folder), quick=quick)
        data = cached(job["data"], scifact=job["scifact"], model=model, sizes=sizes, quick=quick)
    depth = data.test.ranking.ids.shape[1]
    where = f"{job['data']}, {len(data.test.rows)} queries, BM25's first {depth}"
    costs = cascade_systems.measured_costs(data, rounds=3 if quick else 10)
    print(f"cascade, {where}: {costs[0]:.4f} and {costs[1]:.4f} ms a document", flush=True)
    setting = f"cascade, {where}, {plan.steps} steps"
    found: dict[str, list[Cascade]] = {}
    values: dict[str, Tensor] = {}
    rows: list[Row] = []
    for system in SYSTEMS:
        found[system], seconds, tables = [], [], []
        # The first seed chooses the setting, by validation queries; the others take it.
        chosen, best, spent = cascade_systems.tuned(system, data, costs, plan, seed=seeds[0])
        others = (cascade_systems.trained(system, data, costs, plan, chosen, seed=seed) for seed in seeds[1:])
        for cascade, taken in ((best, spent), *others):
            tables.append(quality(final_scores(cascade, data.test), data.test))
            found[system].append(cascade)
            seconds.append(taken)
        values[system] = torch.stack(tables)
        rows += _quality(system, setting, values[system])
        cuts = [float(cascade.cutoffs[0].detach()) for cascade in found[system]]
        shares = [handed_on(cascade, data.test) for cascade in found[system]]
        rows += [
            row("", system, setting, "documents handed on", "", spread(cuts), len(cuts)),
            row("", system, setting, "share of the relevant candidates handed on", "", spread(shares), len(shares)),
            row("", system, setting, "training", "s", spread(seconds), len(seconds)),
            row("", system, setting, "learning rate, chosen on validation queries", "", chosen.rate),
            row("", system, setting, "second form of the loss, chosen on validation queries", "", float(chosen.second)),
        ]
        print(f"cascade, {where}: {system}: {float(values[system].mean()):.4f}, k {cuts}, {shares}", flush=True)
    peer = max(PEERS, key=lambda name: cascade_systems.validated(found[name], data))
    rows += _references(data, found[peer], setting)
    rows += [_less(system, values, peer, setting) for system in SYSTEMS if system not in PEERS]
    rows += _times(data, {system: cascades[0] for system, cascades in found.items()}, setting, quick=quick)
    fusions = cascade_fusion.fused(data, seeds=seeds, steps=5 if quick else 100)
    for name, each in fusions.items():
        rows += _quality(name, f"fusion, {where}", each)
    return [each[1:] for each in rows]


def _quality(name: str, setting: str, values: Tensor) -> list[Row]:
    return [row("", name, setting, f"nDCG@10, {INTERVAL}", "nDCG", Spread(*estimate(values)), len(values))]


def _references(data: Cached, apart: list[Cascade], setting: str) -> list[Row]:
    """BM25 as it came, and each of the stages alone on all candidates."""
    split, tables = data.test, []
    first = quality(split.ranking.scores.masked_fill(~split.ranking.mask, 0.0), split)
    for place in range(2):
        with torch.no_grad():
            alone = [cascade.relaxed(split.rows, split.ranking).scores[place] for cascade in apart]
        tables.append(torch.stack([quality(scores, split) for scores in alone]))
    rows = _quality("BM25", setting, first.unsqueeze(0))
    return (
        rows + _quality("first stage alone", setting, tables[0]) + _quality("second stage on all", setting, tables[1])
    )


def _less(system: str, values: dict[str, Tensor], peer: str, setting: str) -> Row:
    """Paired by seed and query."""
    metric = f"nDCG@10 less that of {peer}, the better on validation, {INTERVAL}"
    difference = values[system] - values[peer]
    return row("", system, setting, metric, "", Spread(*estimate(difference)), len(difference))


def _times(data: Cached, cascades: dict[str, Cascade], setting: str, *, quick: bool) -> list[Row]:
    """Milliseconds of one query after another: the cascades, and the second stage on all candidates."""
    split, whole = data.test, cascades[PEERS[0]]
    places = range(min(_TIMED, len(split.rows)))
    ones = [(split.rows[place : place + 1], one_by_one(split.ranking, place)) for place in places]
    calls: dict[str, Any] = {
        name: lambda cascade=cascade: [cascade(*each) for each in ones] for name, cascade in cascades.items()
    }
    calls["second stage on all"] = lambda: [whole.stages[1](*each) for each in ones]
    rounds = 2 if quick else 15
    with torch.no_grad():
        samples = interleaved(calls, rounds=rounds)
    return [
        row("", name, setting, "time of a query", "ms", spread([each / len(ones) for each in taken]), rounds)
        for name, taken in samples.items()
    ]


if __name__ == "__main__":
    answer(work)

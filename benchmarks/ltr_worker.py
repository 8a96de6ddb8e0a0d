"""The process that trains and measures all systems on one set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.ltr_data import load, made
from benchmarks.ltr_quality import CUTS, Judged, estimate
from benchmarks.ltr_systems import Trained, systems, trained
from benchmarks.measure import Spread, spread
from benchmarks.record import Row, row
from benchmarks.show import OURS
from benchmarks.workers import answer

INTERVAL = "mean and 95 % interval over seeds and queries"
TOGETHER = "nDCG@10 of the mean of five models, 95 % interval over queries"
SECONDS = "training"
KNOWN = "the utility itself"


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    folds = load(job["data"]) if job["data"] else made(quick=job["quick"])
    first = folds[0]
    queries = len(first.train.queries), len(first.validation.queries), len(first.test.queries)
    where = "{} / {} / {} queries".format(*queries)
    setting = f"{job['name']}, {where}, {job['threads']} thread{'s' if job['threads'] > 1 else ''}"
    judged, found = Judged.of(first.test), list[Trained]()
    for system in systems(queries[0], quick=job["quick"], threads=job["threads"]):
        one = trained(system, folds)
        found.append(one)
        quality = sum(judged.mean(scores) for scores in one.scores) / len(folds)
        print(
            f"ltr, {setting}: {one.name}: validation {one.validation:.4f}, test {quality:.4f}; {one.setting}",
            flush=True,
        )
    rows = [each for one in found for each in _rows(one, judged, setting)]
    if first.utility is not None:
        rows += _quality(KNOWN, setting, first.utility.unsqueeze(0), judged)
    return [each[1:] for each in rows + _difference(found, judged, setting)]


def _rows(one: Trained, judged: Judged, setting: str) -> list[Row]:
    together = one.scores - one.scores.mean(dim=1, keepdim=True)
    together = (together / together.std(dim=1, keepdim=True).clamp(min=1e-12)).mean(dim=0)
    values = judged.values(together, 10).unsqueeze(0)
    return [
        *_quality(one.name, setting, one.scores, judged),
        row("", one.name, setting, TOGETHER, "nDCG", Spread(*estimate(values)), 1),
        row("", one.name, setting, f"validation nDCG@10, chose {one.setting}", "", one.validation, len(one.seconds)),
        row("", one.name, setting, SECONDS, "s", spread(one.seconds), len(one.seconds)),
    ]


def _quality(name: str, setting: str, scores: Tensor, judged: Judged) -> list[Row]:
    found = []
    for k in CUTS:
        values = torch.stack([judged.values(each, k) for each in scores])
        found.append(row("", name, setting, f"nDCG@{k}, {INTERVAL}", "nDCG", Spread(*estimate(values)), len(values)))
    return found


def _difference(found: Sequence[Trained], judged: Judged, setting: str) -> list[Row]:
    """The network that validation likes best, less the tree that it likes best."""
    ours = [one for one in found if one.name.startswith(OURS)]
    peers = [one for one in found if not one.name.startswith(OURS)]
    if not peers:
        return []
    best, peer = (max(each, key=lambda one: one.validation) for each in (ours, peers))
    values = [torch.stack([judged.values(scores, 10) for scores in one.scores]) for one in (best, peer)]
    metric = f"nDCG@10 less that of {peer.name}, both best on validation, {INTERVAL}"
    return [row("", best.name, setting, metric, "", Spread(*estimate(values[0] - values[1])), len(values[0]))]


if __name__ == "__main__":
    answer(work)

"""The measuring process of the losses case: agreement with the formula, then times, and memory on a GPU."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks.cuda_rows import rows_of_times
from benchmarks.left_out import unless_left_out
from benchmarks.losses_providers import Loss, Provider, both_ways, installed, labelled, lists, losses
from benchmarks.measure import interleaved, spread
from benchmarks.memory_peak import peak_growth
from benchmarks.parity import TOLERANCE, DisagreementError
from benchmarks.record import Row, row
from benchmarks.workers import answer

TIME, PEAK = "time of forward and backward", "peak memory of forward and backward, inputs not counted"
VALUE, GRADIENT = "difference of the sum to float64", "difference of the gradient to float64"
_GRADIENT_TOLERANCE = 1e-3
_SHAPES = {"cpu": ((64, 240), (16, 1000)), "cuda": ((64, 240), (1024, 1000))}
_SECONDS = {"cpu": 8.0, "cuda": 1.0}
# What a machine of ours has to spare; a provider that would hold more is left out.
_MOST_MIB = {"cpu": 6_000, "cuda": 90_000}
_COMPARED = 2


class Setting(NamedTuple):
    """One loss at one size."""

    loss: Loss
    batch: int
    items: int
    named: str


class Agreement(NamedTuple):
    """Differences: of the sum relative to it (but at least 1), of the gradient in relative L2."""

    value: float
    gradient: float


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    device, rows = job["device"], list[Row]()
    for setting in settings(device, threads=job["threads"], quick=job["quick"]):
        kept = dict[str, Provider]()
        for provider in candidates(setting, device):
            name = labelled(provider)
            found = unless_left_out(name, setting.named, partial(agreement, setting, provider, device))
            if found is not None:
                kept[name] = provider
                print(f"parity, {setting.named}: {name}: {found.value:.1e}, gradient {found.gradient:.1e}", flush=True)
                rows.append(row("", name, setting.named, VALUE, "", found.value))
                rows.append(row("", name, setting.named, GRADIENT, "", found.gradient))
        rows += _measured(setting, kept, device, quick=job["quick"])
    return [each[1:] for each in rows]


def settings(device: str, *, threads: int, quick: bool) -> list[Setting]:
    """Every loss at every size."""
    plural = "s" if threads > 1 else ""
    where = f"{threads} thread{plural}" if device == "cpu" else f"float32, {device}"
    shapes = ((4, 24),) if quick else _SHAPES[device]
    return [
        Setting(loss, batch, items, f"{loss.name}, {batch} lists x {items} items, {where}")
        for batch, items in shapes
        for loss in losses()
    ]


def candidates(setting: Setting, device: str) -> list[Provider]:
    """Who is installed and small enough."""
    found = []
    for provider in filter(installed, setting.loss.providers):
        size = provider.matrices * setting.batch * setting.items**2 * 4 / 2**20
        if size > _MOST_MIB[device]:
            print(f"left out: {provider.name}, {setting.named}: it would hold {size:,.0f} MiB", flush=True)
        else:
            found.append(provider)
    return found


def agreement(setting: Setting, provider: Provider, device: str) -> Agreement:
    """Compare two lists with the formula in float64.

    Raises:
        DisagreementError: naming the provider, what was found and what is allowed.
    """
    data = lists(setting.loss, _COMPARED, setting.items, device)
    exact = data.scores.double().requires_grad_()
    wanted = setting.loss.definition(exact, data.labels)
    (slope,) = torch.autograd.grad(wanted, exact)
    wanted = wanted.detach()
    value = provider.prepare(data.labels)(data.scores).double()
    gradient = both_ways(provider, data)().double()
    found = Agreement(
        float((value - wanted).abs() / wanted.abs().clamp(min=1.0)), float((gradient - slope).norm() / slope.norm())
    )
    if not (found.value <= TOLERANCE and found.gradient <= _GRADIENT_TOLERANCE):
        raise DisagreementError(
            f"{provider.name}: sum differs by {found.value:.2g}, gradient by {found.gradient:.2g}; allowed are "
            f"{TOLERANCE:.0e} and {_GRADIENT_TOLERANCE:.0e}"
        )
    return found


def _measured(setting: Setting, kept: dict[str, Provider], device: str, *, quick: bool) -> list[Row]:
    data = lists(setting.loss, setting.batch, setting.items, device)
    calls = {name: both_ways(provider, data) for name, provider in kept.items()}
    if device == "cpu":
        samples = interleaved(calls, rounds=2 if quick else None, warm_up=1, seconds=_SECONDS[device])
        return [row("", name, setting.named, TIME, "ms", spread(each), len(each)) for name, each in samples.items()]
    rows = rows_of_times("", setting.named, TIME, {name: [call] for name, call in calls.items()}, quick=quick)
    growths = {name: peak_growth(call, device=device) for name, call in calls.items()}
    return rows + [row("", name, setting.named, PEAK, "MiB", growth) for name, growth in growths.items()]


if __name__ == "__main__":
    answer(work)

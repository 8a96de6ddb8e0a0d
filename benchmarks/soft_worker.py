"""The measuring process of the soft-ranking cases: first agreement, then times, and memory on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.cuda_rows import rows_of_times
from benchmarks.left_out import unless_left_out
from benchmarks.maxsim_providers import installed
from benchmarks.measure import interleaved, spread
from benchmarks.memory_peak import peak_growth
from benchmarks.record import Row, row
from benchmarks.show import OURS
from benchmarks.soft_agreement import Exact, check, compare, exact
from benchmarks.soft_providers import Method, Provider, methods
from benchmarks.soft_settings import (
    GRADIENTS,
    PASSES,
    PEAK,
    TARGETS,
    VALUES,
    Pass,
    Shape,
    shapes,
    too_much,
)
from benchmarks.workers import answer

_SECONDS = 0.3
# A call that takes longer is not repeated for minutes.
_SLOWEST = {"cpu": 2.0, "cuda": 0.1}
# What would begin later than this is left out: of a slow machine, or a lease of minutes, some results remain.
_BEGINS_WITHIN = {"cpu": 480.0, "cuda": 120.0}


class _Setting(NamedTuple):
    case: str
    shape: Shape
    method: Method
    named: str
    device: str
    quick: bool

    @property
    def temperature(self) -> float:
        return self.method.temperature(self.shape.items)


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    case, device, rows = job["case"], job["device"], list[Row]()
    begin = time.monotonic()
    for shape in shapes(device, quick=job["quick"]):
        for method in methods(case, shape):
            named = shape.name(method.name, device=device, threads=job["threads"])
            if time.monotonic() - begin > _BEGINS_WITHIN[device]:
                print(f"left out: {named}: no time left", flush=True)
                continue
            setting = _Setting(case, shape, method, named, device, job["quick"])
            begun = _begun(setting)
            if not begun:
                continue
            x = values(shape, device)
            providers, agreements = _agreeing(setting, begun, x)
            rows += agreements
            if providers:
                print(f"timing {case}, {named}", flush=True)
                rows += _times(setting, providers, x)
    return [each[1:] for each in rows]


def values(shape: Shape, device: str) -> Tensor:
    """Normal values."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(device)


def call_of(provider: Provider, x: Tensor, temperature: float, timed: Pass) -> Callable[[], object]:
    """What is inside the clock; to be called with gradients enabled where the pass has one."""
    if not timed.backward:
        return lambda: provider.call(x, temperature)
    leaf = x.detach().requires_grad_()
    upstream = torch.randn_like(x)
    return lambda: torch.autograd.grad(provider.call(leaf, temperature), leaf, upstream)


def _begun(setting: _Setting) -> list[Provider]:
    """The providers that are there and for which the shape is not too much."""
    begun = []
    for provider in setting.method.providers:
        reason = too_much(setting.shape, provider.pairs, device=setting.device, loops=provider.loops)
        if reason:
            print(f"left out: {provider.name}, {setting.named}: {reason}", flush=True)
        else:
            begun.append(provider)
    return installed(begun)


def _agreeing(setting: _Setting, begun: list[Provider], x: Tensor) -> tuple[list[Provider], list[Row]]:
    """The providers that compute the same and are worth repeating, and how far each is from the definition."""
    kept, rows = [], []
    wanted = exact(setting.method.definition, x, setting.temperature)
    for provider in begun:
        found = unless_left_out(provider.name, setting.named, partial(_agreement, setting, provider, x, wanted))
        if found is None:
            continue
        rows += found
        slowest = _SLOWEST[setting.device]
        # The first call may have compiled something; of two slow ones the second says how slow.
        seconds = _seconds(call_of(provider, x, setting.temperature, PASSES[-1]), slowest)
        if seconds > slowest:
            print(
                f"left out: {provider.name}, {setting.named}: {seconds:.1f} s a call, more than {slowest}", flush=True
            )
        else:
            kept.append(provider)
    return kept, rows


def _agreement(setting: _Setting, provider: Provider, x: Tensor, wanted: Exact) -> list[Row]:
    found = compare(provider, x, setting.temperature, wanted)
    print(
        f"parity, {setting.case}, {setting.named}: {provider.name}: values differ by {found.values:.1e}, "
        f"gradients by {found.gradients:.1e}",
        flush=True,
    )
    check(provider, found)
    return [
        row(setting.case, provider.name, setting.named, VALUES, "", found.values),
        row(setting.case, provider.name, setting.named, GRADIENTS, "", found.gradients),
    ]


def _seconds(call: Callable[[], object], slowest: float) -> float:
    taken = float("inf")
    for _ in range(2):
        begin = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken = time.perf_counter() - begin
        if taken <= slowest:
            break
    return taken


def _times(setting: _Setting, providers: list[Provider], x: Tensor) -> list[Row]:
    rows: list[Row] = []
    case, named, quick = setting.case, setting.named, setting.quick
    for timed in PASSES:
        calls = {each.name: call_of(each, x, setting.temperature, timed) for each in providers}
        with torch.set_grad_enabled(timed.backward):
            if setting.device != "cpu":
                rows += rows_of_times(case, named, timed.metric, {n: [c] for n, c in calls.items()}, quick=quick)
            else:
                samples = interleaved(calls, rounds=2 if quick else None, warm_up=1, seconds=_SECONDS)
                rows += [row(case, n, named, timed.metric, "ms", spread(s), len(s)) for n, s in samples.items()]
    if setting.device != "cpu":
        rows += [_memory(setting, each, x) for each in providers]
        _beside_targets(setting, rows)
    return rows


def _memory(setting: _Setting, provider: Provider, x: Tensor) -> Row:
    growth = peak_growth(call_of(provider, x, setting.temperature, PASSES[-1]), device=setting.device)
    return row(setting.case, provider.name, setting.named, PEAK, "MiB", growth)


def _beside_targets(setting: _Setting, rows: list[Row]) -> None:
    key = (setting.case, setting.method.name, setting.shape.batch, setting.shape.items)
    for metric, target in TARGETS.get(key, {}).items():
        for each in rows:
            if each.provider == OURS and each.metric == metric:
                verdict = "met" if each.p50 <= target else "not met"
                print(f"{each.setting}, {metric}: {each.p50:.1f} us (target {target:g} us): {verdict}", flush=True)


if __name__ == "__main__":
    answer(work)

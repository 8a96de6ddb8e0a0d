"""The measuring process of the timed MaxSim cases: first agreement, then times, and memory on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks import cuda_clock, roofline
from benchmarks.cuda_rows import rows_of_times
from benchmarks.left_out import unless_left_out
from benchmarks.maxsim_agreement import Exact, check, compare, exact, leaves
from benchmarks.maxsim_data import Batch, make
from benchmarks.maxsim_providers import TEMPERATURE, Provider, installed
from benchmarks.maxsim_settings import PEAK, PEAK_RATIO, RERANK, SOFT, Pass, Setting, parsed, peak_ratio
from benchmarks.measure import interleaved, spread
from benchmarks.memory_peak import peak_growth
from benchmarks.record import Row, row
from benchmarks.show import OURS
from benchmarks.workers import answer

_SECONDS = 10.0
# On a GPU a peer tunes or compiles itself at its first call. One that would begin later than this is left out, so that
# a lease of minutes ends with results.
_PEERS_BEGIN_WITHIN = 110.0


def work(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Rows without their case."""
    device = job["device"]
    rows: list[Row] = []
    rates = None
    deadline = float("inf")
    if device != "cpu":
        deadline = time.monotonic() + _PEERS_BEGIN_WITHIN
        rates = roofline.measured()
        print(f"this card: {rates.operations / 1e12:.0f} TFLOP/s in bf16, {rates.bytes / 1e12:.2f} TB/s", flush=True)
    for each in job["settings"]:
        setting = parsed(each)
        named = setting.name(device, job["threads"])
        batches = _batches(setting, device)
        upstream = torch.randn(setting.shape.queries, setting.shape.documents, device=device)
        providers, agreements = _agreeing(setting, named, batches[0], upstream, deadline)
        rows += agreements
        for timed in setting.passes:
            print(f"timing {setting.case}, {named}: {timed.metric}", flush=True)
            if rates is None:
                rows += _on_cpu(setting, named, providers, batches[0], upstream, timed, quick=job["quick"])
            else:
                found = _on_cuda(setting, named, providers, batches, upstream, timed, quick=job["quick"])
                rows += found + _beside_the_limit(setting, found, timed, rates)
        if rates is not None and setting.case != RERANK:
            rows += _memory(setting, named, providers, batches[0], upstream)
    return [each[1:] for each in rows]


def call_of(provider: Provider, batch: Batch, upstream: Tensor, timed: Pass) -> Callable[[], object]:
    """What is inside the clock; to be called with gradients enabled where the pass has one."""
    queries, documents = leaves(provider, batch, gradient=timed.gradient)
    if not timed.backward:
        return lambda: provider.scores(queries, documents, batch)
    return lambda: torch.autograd.grad(provider.scores(queries, documents, batch), (queries, documents), upstream)


def _batches(setting: Setting, device: str) -> list[Batch]:
    """The inputs; of those without a gradient as many copies on a GPU as its cache cannot hold together.

    Training reads what an encoder has just written, so its inputs stay where they are.
    """
    if device == "cpu":
        return [make(setting.shape)]
    first = make(setting.shape, device=device, dtype=torch.bfloat16)
    if setting.case != RERANK:
        return [first]
    count = cuda_clock.copies(first.documents.nbytes)
    return [first, *(make(setting.shape, device=device, dtype=torch.bfloat16, seed=n) for n in range(1, count))]


def _agreeing(
    setting: Setting, named: str, batch: Batch, upstream: Tensor, deadline: float
) -> tuple[list[Provider], list[Row]]:
    """The providers that compute the same, and how far each is from the definition."""
    soft = TEMPERATURE if setting.case == SOFT else 0.0
    wanted = exact(batch, upstream, temperature=soft, gradients=setting.case != RERANK)
    kept, rows = [], []
    for provider in installed(setting.providers(batch.queries.device.type)):
        if time.monotonic() > deadline and not provider.name.startswith(OURS):
            print(f"left out: {provider.name}, {named}: no time left", flush=True)
            continue
        found = unless_left_out(provider.name, named, partial(_agreement, setting, named, provider, batch, wanted))
        if found is not None:
            kept.append(provider)
            rows += found
    return kept, rows


def _agreement(setting: Setting, named: str, provider: Provider, batch: Batch, wanted: Exact) -> list[Row]:
    found = compare(provider, batch, wanted)
    line = f"parity, {setting.case}, {named}: {provider.name}: scores differ by {found.scores:.1e}"
    rows = [row(setting.case, provider.name, named, "difference of scores", "", found.scores)]
    if found.gradients is not None:
        line += f", gradients by {found.gradients:.1e} (allowed {found.allowed_gradients:.1e})"
        rows.append(row(setting.case, provider.name, named, "difference of gradients", "", found.gradients))
    print(line, flush=True)
    check(provider, batch, found)
    return rows


def _on_cpu(
    setting: Setting,
    named: str,
    providers: list[Provider],
    batch: Batch,
    upstream: Tensor,
    timed: Pass,
    *,
    quick: bool,
) -> list[Row]:
    calls = {provider.name: call_of(provider, batch, upstream, timed) for provider in providers}
    with torch.set_grad_enabled(timed.gradient):
        samples = interleaved(
            calls, rounds=2 if quick else None, warm_up=1 if quick else 2, seconds=_SECONDS / len(setting.passes)
        )
    return [
        row(setting.case, name, named, timed.metric, "ms", spread(found), len(found)) for name, found in samples.items()
    ]


def _on_cuda(
    setting: Setting,
    named: str,
    providers: list[Provider],
    batches: list[Batch],
    upstream: Tensor,
    timed: Pass,
    *,
    quick: bool,
) -> list[Row]:
    with torch.set_grad_enabled(timed.gradient):
        laps = {each.name: [call_of(each, batch, upstream, timed) for batch in batches] for each in providers}
        return rows_of_times(setting.case, named, timed.metric, laps, quick=quick)


def _beside_the_limit(setting: Setting, rows: list[Row], timed: Pass, rates: roofline.Rates) -> list[Row]:
    """Print each median beside the card's limit and the target; the ratio to the limit is a row without a unit."""
    limit = roofline.limit(
        setting.shape, rates, gradient=timed.gradient, backward=timed.backward, soft=setting.case == SOFT
    )
    target = setting.targets.get(timed.metric)
    beside = f"limit of this card {limit:.1f} us" + (f", target {target:g} us" if target else "")
    made = []
    for each in rows:
        verdict = ""
        if target and each.provider.startswith(OURS):
            verdict = ": met" if each.p50 <= target else ": not met"
        print(f"{each.provider}, {each.setting}, {each.metric}: {each.p50:.1f} us ({beside}){verdict}", flush=True)
        made.append(row(each.case, each.provider, each.setting, f"{each.metric}, over the limit", "", each.p50 / limit))
    return made


def _memory(setting: Setting, named: str, providers: list[Provider], batch: Batch, upstream: Tensor) -> list[Row]:
    rows = []
    for provider in providers:
        call = call_of(provider, batch, upstream, setting.passes[-1])
        growth = peak_growth(call, device="cuda")
        ratio = peak_ratio(setting.shape, growth, element=batch.queries.element_size())
        print(f"{provider.name}, {named}: {growth:.1f} MiB beyond the inputs, {ratio:.2f} of inputs and outputs")
        rows.append(row(setting.case, provider.name, named, PEAK, "MiB", growth))
        rows.append(row(setting.case, provider.name, named, PEAK_RATIO, "", ratio))
    return rows


if __name__ == "__main__":
    answer(work)

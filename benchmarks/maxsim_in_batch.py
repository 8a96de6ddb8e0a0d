"""Every query of a batch against every document, as contrastive training scores them: time and memory."""

from __future__ import annotations

from benchmarks.maxsim_data import Shape
from benchmarks.maxsim_settings import BOTH, FORWARD, IN_BATCH, PEAK, PEAK_RATIO, Setting, peak_ratio
from benchmarks.options import Options
from benchmarks.record import Row, row
from benchmarks.workers import run_worker

CASE = IN_BATCH
_THREADS = 2
_FLOAT = 4


def run(options: Options) -> list[Row]:
    """Times of all providers in turn; on a CPU the memory of each in a process of its own (one for all when quick)."""
    return timed_and_weighed(CASE, settings(options), options)


def settings(options: Options) -> list[Setting]:
    """The shapes, and on a GPU what they are meant to take."""
    if options.quick:
        return [Setting(CASE, Shape(3, 6, 4, 24, shortest=8, dim=16), {})]
    if options.device != "cpu":
        return [
            Setting(CASE, Shape(64, 64, 32, 180), {FORWARD.metric: 15.0}),
            Setting(CASE, Shape(128, 1024, 32, 180), {FORWARD.metric: 380.0, BOTH.metric: 700.0}),
        ]
    shapes = [Shape(16, 128, 32, 180), Shape(16, 128, 32, 300, shortest=20), Shape(32, 32, 32, 180)]
    return [Setting(CASE, shape, {}) for shape in shapes]


def timed_and_weighed(case: str, wanted: list[Setting], options: Options) -> list[Row]:
    """Rows of times and of peak memory."""
    threads = 1 if options.quick or options.device != "cpu" else _THREADS
    job = {"settings": wanted, "device": options.device, "quick": options.quick}
    rows = [Row(case, *each) for each in run_worker("benchmarks.maxsim_worker", job, threads=threads)]
    if options.device != "cpu":
        return rows
    for setting in wanted:
        named = setting.name(options.device, threads)
        measured = {each.provider for each in rows if each.setting == named}
        names = [each.name for each in setting.providers(options.device) if each.name in measured]
        for together in [names] if options.quick else [[name] for name in names]:
            print(f"memory, {case}, {named}: {', '.join(together)}", flush=True)
            job = {"setting": setting, "providers": together}
            found = run_worker("benchmarks.maxsim_memory_worker", job, threads=threads)
            for name, growth in zip(together, found, strict=True):
                rows += _peaks(case, setting, named, name, growth)
    return rows


def _peaks(case: str, setting: Setting, named: str, name: str, growth: float) -> list[Row]:
    return [
        row(case, name, named, PEAK, "MiB", growth),
        row(case, name, named, PEAK_RATIO, "", peak_ratio(setting.shape, growth, element=_FLOAT)),
    ]

"""MaxSim with soft maxima, forward and backward: time and memory."""

from __future__ import annotations

from benchmarks.maxsim_data import Shape
from benchmarks.maxsim_in_batch import timed_and_weighed
from benchmarks.maxsim_settings import BOTH, PEAK_RATIO, SOFT, Setting
from benchmarks.options import Options
from benchmarks.record import Row
from benchmarks.show import OURS

CASE = SOFT
_PEAK_TARGET = 1.2


def run(options: Options) -> list[Row]:
    """Times of both providers in turn; on a CPU the memory of each in a process of its own."""
    rows = timed_and_weighed(CASE, settings(options), options)
    for each in rows:
        if options.device != "cpu" and each.metric == PEAK_RATIO and each.provider.startswith(OURS):
            verdict = "met" if each.p50 <= _PEAK_TARGET else "not met"
            print(f"{each.metric}: {each.p50:.2f} (target {_PEAK_TARGET}): {verdict}")
    return rows


def settings(options: Options) -> list[Setting]:
    """The shapes, and on a GPU what they are meant to take."""
    if options.quick:
        return [Setting(CASE, Shape(3, 6, 4, 24, dim=16), {})]
    if options.device != "cpu":
        return [Setting(CASE, Shape(128, 1024, 32, 180), {BOTH.metric: 1500.0})]
    return [Setting(CASE, Shape(16, 128, 32, 180), {})]

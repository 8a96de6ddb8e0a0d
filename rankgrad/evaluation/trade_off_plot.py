"""Quality against time: which systems are worth their milliseconds?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rankgrad._checks import require
from rankgrad.evaluation.time_axis import draw_time_axis
from rankgrad.metrics import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rankgrad.evaluation.report import Report

_INK, _BASELINE, _LINE = "#1b6ca8", "#777777", "#b8500c"


def trade_off_figure(report: Report) -> Figure:
    """A dot a system, with intervals: its median milliseconds on a log axis, and its mean in the first metric.

    A line joins the systems that no other one beats in both. The figure stands alone: matplotlib's global backend and
    settings are left as they are.

    Raises:
        MissingExtraError: when matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "evaluate").Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    metric = report.metrics[0]
    points = [(system.latency()["p50"], system.mean(metric)) for system in report.systems]
    best = unbeaten(points)
    axes.plot(*zip(*(points[place] for place in best), strict=True), color=_LINE, linewidth=1, zorder=1)
    for system, (time, mean) in zip(report.systems, points, strict=True):
        low, high = bootstrap_interval(system.values[metric], seed=report.seed)
        spread = system.latency()
        colour = _BASELINE if system.name == report.baseline else _INK
        # A bootstrap interval of a constant may miss its mean by a rounding error; matplotlib refuses negative bars.
        up_and_down = [[max(mean - low, 0.0)], [max(high - mean, 0.0)]]
        aside = [[time - spread["p20"]], [spread["p80"] - time]]
        axes.errorbar(time, mean, up_and_down, aside, fmt="o", color=colour, capsize=2, elinewidth=0.8, zorder=2)
        axes.annotate(system.name, (time, mean), (6, -10), textcoords="offset points", fontsize=8, parse_math=False)
    # Room for the name of the slowest.
    draw_time_axis(axes, [system.latency() for system in report.systems], room=4.0)
    axes.set_ylabel(f"{metric}: mean, 95 % bootstrap interval", parse_math=False)
    axes.set_title(report.collection, fontsize=11, parse_math=False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def unbeaten(points: Sequence[tuple[float, float]]) -> list[int]:
    """The places of the points (time, quality) that no other one beats in one and equals in the other, fastest first.

    Example:
        >>> unbeaten([(10.0, 0.5), (1.0, 0.3), (5.0, 0.2), (20.0, 0.5)])
        [1, 0]
    """
    found: list[int] = []
    for place in sorted(range(len(points)), key=lambda place: (points[place][0], -points[place][1])):
        if not found or points[place][1] > points[found[-1]][1]:
            found.append(place)
    return found

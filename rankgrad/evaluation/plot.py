"""A report as a picture: how good beside how slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankgrad._checks import require
from rankgrad.evaluation.table import format_ms
from rankgrad.evaluation.time_axis import draw_time_axis
from rankgrad.metrics import bootstrap_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rankgrad.evaluation.report import Report

_INK, _BASELINE, _TIME = "#1b6ca8", "#777777", "#b8500c"


def comparison_figure(report: Report) -> Figure:
    """Dots with intervals: the first metric on the left, milliseconds a query on a log axis on the right.

    The figure stands alone: matplotlib's global backend and settings are left as they are.

    Raises:
        MissingExtraError: when matplotlib is not installed.
    """
    figure = require("matplotlib.figure", "evaluate").Figure(
        figsize=(11, 1.6 + 0.45 * len(report.systems)), layout="constrained"
    )
    quality, speed = figure.subplots(1, 2, sharey=True)
    rows = range(len(report.systems))
    quality.set_yticks(rows, [system.name for system in report.systems], parse_math=False)
    quality.set_ylim(len(report.systems) - 0.4, -0.6)
    _draw_quality(quality, report)
    _draw_speed(speed, report)
    for axes in (quality, speed):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    threads = f"{report.threads} CPU thread{'s' if report.threads != 1 else ''}"
    counts = f"{len(report.queries):,} queries, {report.documents:,} documents, {threads}"
    figure.suptitle(f"{report.collection}: {counts}", fontsize=11, parse_math=False)
    return figure


def _draw_quality(axes: Axes, report: Report) -> None:
    metric = report.metrics[0]
    for row, system in enumerate(report.systems):
        mean = system.mean(metric)
        low, high = bootstrap_interval(system.values[metric], seed=report.seed)
        colour = _BASELINE if system.name == report.baseline else _INK
        # A bootstrap interval of a constant may miss its mean by a rounding error; matplotlib refuses negative bars.
        spread = [[max(mean - low, 0.0)], [max(high - mean, 0.0)]]
        axes.errorbar(mean, row, xerr=spread, fmt="o", color=colour, capsize=3)
        axes.annotate(f"{mean:.3f}", (mean, row), (0, 6), textcoords="offset points", ha="center", fontsize=8)
        if system.name == report.baseline:
            axes.axvline(mean, color=_BASELINE, linestyle="--", linewidth=0.8)
    axes.set_xlabel(f"{metric}: mean, 95 % bootstrap interval", parse_math=False)


def _draw_speed(axes: Axes, report: Report) -> None:
    for row, system in enumerate(report.systems):
        time = system.latency()
        spread = [[time["p50"] - time["p20"]], [time["p80"] - time["p50"]]]
        axes.errorbar(time["p50"], row, xerr=spread, fmt="s", color=_TIME, capsize=3)
        axes.annotate(
            format_ms(time["p50"]), (time["p50"], row), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    draw_time_axis(axes, [system.latency() for system in report.systems])
    axes.tick_params(axis="y", length=0)

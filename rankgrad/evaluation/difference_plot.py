"""Where a system is better than the baseline and where it is worse, query by query."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rankgrad._checks import InputError, require

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rankgrad.evaluation.report import Report

_BETTER, _WORSE = "#1b6ca8", "#b8500c"


def difference_figure(report: Report, *, metric: str | None = None) -> Figure:
    """A panel for each system but the baseline: its difference in a metric, one step a query, the largest first.

    The figure stands alone: matplotlib's global backend and settings are left as they are.

    Args:
        report: with at least two systems.
        metric: one of the report's; None = the first.

    Raises:
        InputError: for a report of one system, or a metric that it does not have.
        MissingExtraError: when matplotlib is not installed.
    """
    names = {system.name: system for system in report.systems}
    others = [system for system in report.systems if system.name != report.baseline]
    metric = metric or report.metrics[0]
    if metric not in report.metrics:
        raise InputError(f"metric={metric!r} was not measured: choose one of {', '.join(report.metrics)}")
    if not others:
        raise InputError("the report holds the baseline alone: there is nothing to compare it with")
    figure = require("matplotlib.figure", "evaluate").Figure(figsize=(8, 0.8 + 1.7 * len(others)), layout="constrained")
    panels = figure.subplots(len(others), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    base = np.asarray(names[report.baseline].values[metric])
    edges = np.arange(len(base) + 1)
    for axes, system in zip(panels, others, strict=True):
        differences = np.sort(np.asarray(system.values[metric]) - base)[::-1]
        for colour, part in ((_BETTER, differences.clip(min=0)), (_WORSE, differences.clip(max=0))):
            axes.stairs(part, edges, fill=True, color=colour)
        axes.axhline(0, color="#777777", linewidth=0.8)
        better, worse = int((differences > 0).sum()), int((differences < 0).sum())
        counts = f"{better} better, {worse} worse, {len(base) - better - worse} alike"
        axes.set_title(f"{system.name}: {counts}", fontsize=9, loc="left", parse_math=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supylabel(f"{metric} less that of {report.baseline}", fontsize=9, parse_math=False)
    panels[-1].set_xlabel("queries, sorted by their difference")
    return figure

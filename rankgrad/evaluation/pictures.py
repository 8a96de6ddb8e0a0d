"""The pictures of a report as PNG files in memory."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rankgrad.evaluation.difference_plot import difference_figure
from rankgrad.evaluation.plot import comparison_figure
from rankgrad.evaluation.trade_off_plot import trade_off_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rankgrad.evaluation.report import Report

COMPARISON, TRADE_OFF, DIFFERENCES = "comparison.png", "trade_off.png", "differences.png"
CAPTIONS = {
    COMPARISON: "Quality with its interval, and time a query",
    TRADE_OFF: "Quality against time: a system on the line is beaten by none in both",
    DIFFERENCES: "Difference to the baseline, query by query, sorted",
}


def pictures(report: Report) -> dict[str, bytes]:
    """By file name: the comparison, quality against time, and, where there is something to compare, differences.

    Raises:
        MissingExtraError: when matplotlib is not installed.
    """
    figures = {COMPARISON: comparison_figure(report), TRADE_OFF: trade_off_figure(report)}
    if report.comparisons:
        figures[DIFFERENCES] = difference_figure(report)
    return {name: _png(figure) for name, figure in figures.items()}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()

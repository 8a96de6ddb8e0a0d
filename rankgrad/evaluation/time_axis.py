"""The axis of milliseconds that plots share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rankgrad._checks import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_time_axis(axes: Axes, times: Sequence[dict[str, float]], *, room: float = 2.0) -> None:
    """Make the horizontal axis one of milliseconds, logarithmic, with plain numbers at its ticks.

    Args:
        axes: to be changed.
        times: of each system what :meth:`rankgrad.evaluation.SystemResult.latency` gives.
        room: factor to the right of the slowest; wide enough for two labelled ticks, however alike the systems are.
    """
    axes.set_xscale("log")
    axes.set_xlim(min(time["p20"] for time in times) / 2, max(time["p80"] for time in times) * room)
    ticker = require("matplotlib.ticker", "evaluate")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5), numticks=12))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(ticker.NullLocator())
    axes.set_xlabel("ms a query: median, p20 to p80, log scale")

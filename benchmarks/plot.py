"""A result file as a picture."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure

from benchmarks.record import Row, read
from benchmarks.show import OURS
from rankgrad._files import atomic_file

_OURS, _PEER = "#1b6ca8", "#777777"
_TITLE = 60
"""Characters of a line of a panel's title."""


def draw(path: str | Path) -> Path:
    """Draw the medians of a CSV as bars with p20 to p80, a panel a setting; the PNG lies beside the CSV."""
    path = Path(path)
    rows, where = read(path)
    panels: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.unit:
            panels.setdefault((row.setting, f"{row.metric}, {row.unit}"), []).append(row)
    columns = 2
    lines = -(-len(panels) // columns)
    bars = [len(members) for members in panels.values()]
    heights = [max(1.9, 0.7 + 0.16 * max(bars[start : start + columns])) for start in range(0, len(bars), columns)]
    figure = Figure(figsize=(13, 0.6 + sum(heights)), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, height_ratios=heights)
    for axes, ((setting, metric), members) in zip(grid.flat, panels.items(), strict=False):
        names = [row.provider for row in members]
        spreads = [[row.p50 - row.p20 for row in members], [row.p80 - row.p50 for row in members]]
        colours = [_OURS if name.startswith(OURS) else _PEER for name in names]
        axes.barh(names, [row.p50 for row in members], xerr=spreads, color=colours, height=0.65)
        for place, row in enumerate(members):
            axes.annotate(
                f" {row.p50:,.0f}" if row.p50 >= 1000 else f" {row.p50:.3g}", (row.p80, place), va="center", fontsize=7
            )
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_title(fill(f"{setting}: {metric}", _TITLE), fontsize=8, loc="left")
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    figure.suptitle(f"{rows[0].case} on {where.machine}, {where.date} ({where.commit})", fontsize=10)
    target = path.with_suffix(".png")
    with atomic_file(target) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return target

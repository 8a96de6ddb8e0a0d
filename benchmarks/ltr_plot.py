"""The quality of each system as a picture: a dot with its interval, a panel a set and cut."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.record import Row, read
from benchmarks.show import OURS
from rankgrad._files import atomic_file

_OURS, _PEER, _KNOWN = "#1b6ca8", "#c26a1b", "#777777"
_MARK = ", mean and 95 % interval"


def draw_quality(path: str | Path) -> Path:
    """Draw the means and intervals of a CSV of the ltr case; the PNG lies beside it."""
    path = Path(path)
    rows, where = read(path)
    panels: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if row.metric.startswith("nDCG@") and _MARK in row.metric and row.unit:
            panels.setdefault(row.setting, {}).setdefault(row.metric.partition(",")[0], []).append(row)
    most = max(len(members) for metrics in panels.values() for members in metrics.values())
    columns = max(map(len, panels.values()))
    figure = Figure(figsize=(4 + 3 * columns, 0.8 + len(panels) * (0.6 + 0.24 * most)), layout="constrained")
    grid = figure.subplots(len(panels), columns, squeeze=False, sharey="row")
    for line, (setting, metrics) in zip(grid, panels.items(), strict=True):
        for axes, (metric, members) in zip(line, metrics.items(), strict=True):
            for place, row in enumerate(members):
                ours = row.provider.startswith(OURS)
                colour = _OURS if ours else _PEER if row.rounds > 1 else _KNOWN
                axes.plot((row.p20, row.p80), (place, place), color=colour, linewidth=1.5)
                axes.plot(row.p50, place, "o", color=colour, markersize=5)
                axes.annotate(
                    f"{row.p50:.3f}", (row.p50, place), (0, 4), textcoords="offset points", fontsize=6, ha="center"
                )
            axes.set_yticks(range(len(members)), [row.provider for row in members], fontsize=7)
            axes.set_title(metric, fontsize=8, loc="left")
            axes.tick_params(axis="x", labelsize=7)
            axes.grid(axis="x", color="#dddddd", linewidth=0.5)
            axes.spines[["top", "right"]].set_visible(False)
        line[0].invert_yaxis()
        line[0].set_title(f"{setting}\n{next(iter(metrics))}", fontsize=8, loc="left")
    title = (
        f"{rows[0].case} on {where.machine}, {where.date} ({where.commit}): mean, 95 % interval over seeds and queries"
    )
    figure.suptitle(title, fontsize=9)
    target = path.with_suffix(".png")
    with atomic_file(target) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return target

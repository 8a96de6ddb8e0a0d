"""The sizes that fit budgets of memory as a picture: a line a provider, both axes logarithmic."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from benchmarks.record import read
from benchmarks.show import OURS
from rankgrad._files import atomic_file

_OURS = "#1b6ca8"
_PEERS = ("#777777", "#c26a1b", "#5a8f3c", "#8a4f9e")


def draw_lines(path: str | Path, *, unit: str = "queries") -> Path:
    """Draw the rows of a unit over the number that their setting begins with; the PNG lies beside the CSV."""
    path = Path(path)
    rows, where = read(path)
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.unit == unit:
            lines.setdefault(row.provider, []).append((float(row.setting.split()[0]), row.p50))
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    peers = iter(_PEERS)
    for provider, points in lines.items():
        colour = _OURS if provider.startswith(OURS) else next(peers)
        axes.plot(*zip(*sorted(points), strict=True), marker="o", color=colour, label=provider)
        for budget, size in points:
            axes.annotate(f"{size:g}", (budget, size), xytext=(0, 6), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", yscale="log", xlabel="MiB beyond the inputs", ylabel=unit)
    axes.set_xticks(sorted({budget for points in lines.values() for budget, _ in points}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
        axis.set_minor_formatter(NullFormatter())
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title(f"{rows[0].case} on {where.machine}, {where.date} ({where.commit})", fontsize=9, loc="left")
    target = path.with_suffix(".png")
    with atomic_file(target) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    return target

"""The soft-ranking cases as a picture: a row a method, a column a number of lists, a line a provider."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.record import Row, read
from benchmarks.show import OURS
from benchmarks.soft_settings import BATCHES, BOTH
from rankgrad._files import atomic_file

_OURS = "#1b6ca8"
_PEERS = ("#777777", "#c26a1b", "#5a8f3c", "#8a4f9e", "#b03a48", "#3c8f8a")


def draw_grid(path: str | Path) -> Path:
    """Draw medians of forward and backward over the items of a list; the PNG lies beside the CSV."""
    path = Path(path)
    rows, where = read(path)
    rows = [each for each in rows if each.metric == BOTH.metric]
    methods = list(dict.fromkeys(_parts(each)[2] for each in rows))
    batches = sorted({_parts(each)[0] for each in rows} & set(BATCHES)) or sorted({_parts(each)[0] for each in rows})
    peers = list(dict.fromkeys(each.provider for each in rows if not each.provider.startswith(OURS)))
    colours = {name: _PEERS[place % len(_PEERS)] for place, name in enumerate(peers)}
    figure = Figure(figsize=(2.9 * len(batches) + 1.5, 1.9 * len(methods) + 0.8), layout="constrained")
    grid = figure.subplots(len(methods), len(batches), squeeze=False, sharex=True, sharey="row")
    for method, line in zip(methods, grid, strict=True):
        for batch, axes in zip(batches, line, strict=True):
            for provider, points in _lines(rows, method, batch).items():
                colour = _OURS if provider.startswith(OURS) else colours[provider]
                axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=3, color=colour, label=provider)
            axes.set(xscale="log", yscale="log")
            axes.set_title(f"{method}, {batch} list{'s' if batch > 1 else ''}", fontsize=8, loc="left")
            axes.grid(color="#dddddd", linewidth=0.5)
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        line[0].set_ylabel(f"forward + backward, {rows[0].unit}", fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel("items of a list", fontsize=7)
    handles = {label: line for axes in grid.flat for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    figure.suptitle(f"{rows[0].case} on {where.machine}, {where.date} ({where.commit})", fontsize=10)
    target = path.with_suffix(".png")
    with atomic_file(target) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    return target


def _parts(row: Row) -> tuple[int, int, str]:
    """Lists, items and method of a setting."""
    shape, method = row.setting.split(", ")[:2]
    batch, items = shape.split(" x ")
    return int(batch), int(items), method


def _lines(rows: list[Row], method: str, batch: int) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for each in rows:
        if (_parts(each)[0], _parts(each)[2]) == (batch, method):
            found.setdefault(each.provider, []).append((_parts(each)[1], each.p50))
    return found

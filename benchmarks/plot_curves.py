"""Pictures of the soft operators for docs/ops: what becomes of one item's result as it moves past the others.

python -m benchmarks.plot_curves [FOLDER]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.machine import ROOT
from rankgrad._files import atomic_file
from rankgrad.ops import soft_rank, soft_sort, soft_top_k

OTHERS = (-1.0, 0.0, 0.5, 1.5)
TEMPERATURES = (0.05, 0.2, 0.5, 1.0)
_COLOURS = ("#0b2f4a", "#1b6ca8", "#5fa8d3", "#c26a1b")
_POINTS = 361
_LINES = 2
_SAMPLES = 400
_INVERSE = 5


class Curves(NamedTuple):
    """A picture: its name, what its upper panels show, and by method the result of the moving item, or of a place."""

    name: str
    shows: str
    place: int
    methods: dict[str, Callable[..., Tensor]]


def pictures() -> list[Curves]:
    """All that are drawn."""
    rank = ("sigmoid", "laplace", "isotonic", "softsort", "neuralsort", "sinkhorn", "network", "blackbox")
    sort = ("laplace", "softsort", "neuralsort", "sinkhorn", "network")
    top_k = ("laplace", "isotonic", "p_norm", "neuralsort")
    ranks: dict[str, Callable[..., Tensor]] = {method: partial(soft_rank, method=method) for method in rank}
    # Isotonic sorting measures its temperature in units of one over the values.
    values: dict[str, Callable[..., Tensor]] = {f"isotonic at {_INVERSE} T": _inverse}
    values |= {method: partial(soft_sort, method=method) for method in sort}
    weights: dict[str, Callable[..., Tensor]] = {method: partial(soft_top_k, k=2, method=method) for method in top_k}
    ranks["perturbed"] = partial(_seeded, partial(soft_rank, method="perturbed", samples=_SAMPLES))
    weights["gumbel"] = partial(_seeded, partial(soft_top_k, k=2, method="gumbel"))
    return [
        Curves("soft_rank", "rank of the moving item", 0, ranks),
        Curves("soft_sort", "second highest value", 1, values),
        Curves("soft_top_k", "weight of the moving item, k = 2", 0, weights),
    ]


def draw(curves: Curves, folder: Path) -> Path:
    """Upper panels: the result for several temperatures; lower ones: its derivative in the moving item's value."""
    columns = -(-len(curves.methods) // _LINES)
    figure = Figure(figsize=(2.7 * columns, 3.2 * _LINES + 0.4), layout="constrained")
    grid = figure.subplots(2 * _LINES, columns, squeeze=False, sharex=True)
    for place, (method, operator) in enumerate(curves.methods.items()):
        upper, lower = (grid[2 * (place // columns) + part][place % columns] for part in (0, 1))
        highest = 0.0
        for temperature, colour in zip(TEMPERATURES, _COLOURS, strict=True):
            moving, values, slopes = curve(operator, temperature, curves.place)
            upper.plot(moving, values, color=colour, linewidth=1, label=f"T = {temperature:g}")
            lower.plot(moving, slopes, color=colour, linewidth=1)
            if temperature > TEMPERATURES[0]:
                highest = max(highest, float(slopes.abs().max()))
        upper.set_title(f"{curves.name}, {method}", fontsize=8, loc="left")
        # The derivative of a nearly hard result is a row of spikes; it is cut.
        lower.set_ylim(-1.1 * highest - 0.01, 1.1 * highest + 0.01)
        for axes, label in ((upper, curves.shows), (lower, "derivative")):
            axes.set_ylabel(label, fontsize=6)
            axes.tick_params(labelsize=6)
            axes.spines[["top", "right"]].set_visible(False)
            for other in OTHERS:
                axes.axvline(other, color="#dddddd", linewidth=0.5, zorder=0)
    for place in range(len(curves.methods), _LINES * columns):
        for part in (0, 1):
            grid[2 * (place // columns) + part][place % columns].set_visible(False)
    grid[0][0].legend(fontsize=6, frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{curves.name}_curves.png"
    with atomic_file(target) as temporary:
        figure.savefig(temporary, format="png", dpi=70, pil_kwargs={"optimize": True})
    return target


def curve(operator: Callable[..., Tensor], temperature: float, place: int) -> tuple[Tensor, Tensor, Tensor]:
    """Values of the moving item, the result at ``place``, its derivative: ``[points]`` each."""
    moving = torch.linspace(-2.0, 2.5, _POINTS, dtype=torch.float64)
    lists = torch.cat([moving[:, None], torch.tensor(OTHERS, dtype=moving.dtype).expand(_POINTS, -1)], dim=1)
    lists.requires_grad_()
    # The definition, whatever computes it faster on this machine.
    results = operator(lists, temperature=temperature, backend="reference")[:, place]
    (slopes,) = torch.autograd.grad(results.sum(), lists)
    return moving, results.detach(), slopes[:, 0]


def _inverse(lists: Tensor, *, temperature: float, **options: Any) -> Tensor:
    return soft_sort(lists, temperature=_INVERSE * temperature, method="isotonic", **options)


def _seeded(operator: Callable[..., Tensor], lists: Tensor, **options: Any) -> Tensor:
    """Every point with the same noise, so that a curve is one function."""
    return torch.stack([operator(row, generator=torch.Generator().manual_seed(0), **options) for row in lists])


if __name__ == "__main__":
    for each in pictures():
        print(f"wrote {draw(each, Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / 'docs' / 'ops')}")

"""What features are worth, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError, require
from rankgrad._files import atomic_file
from rankgrad.evaluation.importance import Importance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _ZERO = "#1b6ca8", "#777777"


def plot_importance(importance: Importance, path: str | Path, *, top: int = 20, title: str | None = None) -> None:
    """Draw the features that matter most as horizontal bars with their intervals, and save the picture.

    Args:
        importance: what :func:`rankgrad.evaluation.permutation_importance` found.
        path: the file; its ending says in what format (``.png``, ``.svg``, ``.pdf``).
        top: how many features.
        title: above the picture; None = what was measured.

    Raises:
        InputError: for a format matplotlib cannot write, or ``top`` below 1; nothing is written then.
        MissingExtraError: without matplotlib.
    """
    figure = importance_figure(importance, top=top, title=title)
    path, known = Path(path), figure.canvas.get_supported_filetypes()
    kind = path.suffix.lower().removeprefix(".")
    if kind not in known:
        raise InputError(f"path: {path.name} is no picture matplotlib can write: end it in .png, .svg or .pdf")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150)


def importance_figure(importance: Importance, *, top: int = 20, title: str | None = None) -> Figure:
    """The same as a figure of matplotlib, which stands alone: global backend and settings are left as they are.

    Raises:
        InputError: for ``top`` below 1.
        MissingExtraError: without matplotlib.
    """
    if top < 1:
        raise InputError(f"top={top}: pass at least 1")
    shown = importance.order()[:top]
    figure = require("matplotlib.figure", "evaluate").Figure(figsize=(8, 1.4 + 0.3 * len(shown)), layout="constrained")
    axes = figure.subplots()
    means = importance.mean[shown].tolist()
    ends = [importance.interval(feature) for feature in shown]
    # A bootstrap interval of a constant may miss its mean by a rounding error; matplotlib refuses negative bars.
    below = [max(mean - end.low, 0.0) for mean, end in zip(means, ends, strict=True)]
    above = [max(end.high - mean, 0.0) for mean, end in zip(means, ends, strict=True)]
    rows = range(len(shown))
    axes.barh(rows, means, xerr=[below, above], color=_INK, height=0.7, capsize=2, ecolor=_ZERO)
    axes.set_yticks(rows, [importance.names[feature] for feature in shown], parse_math=False)
    axes.invert_yaxis()
    axes.axvline(0.0, color=_ZERO, linewidth=0.8)
    axes.set_xlabel(f"drop of {importance.metric} when shuffled: mean, 95 % bootstrap interval", parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    queries, whole = importance.drops.shape[1], importance.baseline.mean().item()
    more = f", the first {len(shown)} of {len(importance.names)} features" if len(shown) < len(importance.names) else ""
    axes.set_title(
        title or f"{importance.metric} {whole:.3f} on {queries:,} queries, {importance.repeats} shuffles{more}",
        fontsize=10,
        parse_math=False,
    )
    return figure

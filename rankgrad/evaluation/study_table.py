"""A study as a table: a row a system, a column a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankgrad._checks import require

if TYPE_CHECKING:
    from rich.table import Table

    from rankgrad.evaluation.study_report import StudyReport

_LEVEL = 0.05


def study_rows(report: StudyReport) -> tuple[list[str], list[list[str]]]:
    """Header and rows: the first metric on each collection, a star where it differs from the baseline, and means."""
    rows = []
    for system in report.systems:
        shown = []
        for collection, mean in zip(report.collections, report.means(system, report.metrics[0]), strict=True):
            p = report.corrected_p(system, collection)
            shown.append(f"{mean:.4f}{'*' if p is not None and p < _LEVEL else ''}")
        means = [f"{report.mean(system, metric):.4f}" for metric in report.metrics]
        rows.append([system, *shown, *means])
    first = report.metrics[0]
    columns = [f"{first} {collection}" for collection in report.collections]
    return ["system", *columns, *(f"mean {metric}" for metric in report.metrics)], rows


def study_table(report: StudyReport) -> Table:
    """The table for a terminal.

    Raises:
        MissingExtraError: when rich is not installed.
    """
    escape = require("rich.markup", "evaluate").escape
    table = require("rich.table", "evaluate").Table(
        title=f"{len(report.systems)} systems on {len(report.collections)} collections",
        caption=escape(study_caption(report)),
        caption_justify="left",
        box=require("rich.box", "evaluate").SIMPLE_HEAD,
        pad_edge=False,
    )
    header, rows = study_rows(report)
    for place, name in enumerate(header):
        table.add_column(escape(name), justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def study_caption(report: StudyReport) -> str:
    """What the table's columns and stars mean."""
    tests = (len(report.systems) - 1) * len(report.collections)
    return (
        f"Means count every collection alike. *: differs from {report.baseline} at {_LEVEL:.0%}, two-sided "
        f"randomisation test, Holm-corrected over {tests} comparisons of systems and collections."
    )

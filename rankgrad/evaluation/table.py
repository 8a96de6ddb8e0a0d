"""A report as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rankgrad._checks import require
from rankgrad.evaluation.values import lower_is_better

if TYPE_CHECKING:
    from rich.table import Table

    from rankgrad.evaluation.report import Report


def report_table(report: Report) -> Table:
    """One row a system: means, the best in bold, difference to the baseline in the first metric, time a query.

    Raises:
        MissingExtraError: when rich is not installed.
    """
    first = report.metrics[0]
    escape = require("rich.markup", "evaluate").escape
    table = require("rich.table", "evaluate").Table(
        title=escape(f"{report.collection}: {len(report.queries):,} queries, {report.documents:,} documents"),
        caption=escape(caption_of(report)),
        caption_justify="left",
        box=require("rich.box", "evaluate").SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("system", overflow="fold")
    for metric in report.metrics:
        table.add_column(escape(metric), justify="right", no_wrap=True)
    table.add_column(escape(f"Δ {first} [95 %]"), justify="right")
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("ms a query", justify="right", overflow="fold")
    best = {metric: _best(report, metric) for metric in report.metrics}
    for system in report.systems:
        means = {metric: f"{system.mean(metric):.4f}" for metric in report.metrics}
        shown = [f"[bold]{mean}[/bold]" if mean == best[metric] else mean for metric, mean in means.items()]
        row = report.comparison(system.name, first)
        difference = "baseline" if row is None else f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        p = "" if row is None else format_p(row.randomization_p_holm)
        time = system.latency()
        speed = f"{format_ms(time['p50'])} ({format_ms(time['p20'])}-{format_ms(time['p80'])})"
        table.add_row(escape(system.name), *shown, escape(difference), p, speed)
    return table


def _best(report: Report, metric: str) -> str:
    """The best mean of a metric, as it is shown."""
    best = min if lower_is_better(metric) else max
    return f"{best(system.mean(metric) for system in report.systems):.4f}"


def format_p(p: float | None) -> str:
    """A p-value as people read it.

    Example:
        >>> format_p(0.0001), format_p(0.0321), format_p(None)
        ('< 0.001', '0.032', '-')
    """
    if p is None:
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def format_ms(milliseconds: float) -> str:
    """Milliseconds with as many digits as they deserve.

    Example:
        >>> format_ms(0.1234), format_ms(12.34), format_ms(1234.5)
        ('0.12', '12.3', '1,234')
    """
    digits = 2 if milliseconds < 10 else 1 if milliseconds < 100 else 0
    return f"{milliseconds:,.{digits}f}"


def caption_of(report: Report) -> str:
    """What the columns of a report's table mean."""
    others = len(report.systems) - 1
    corrected = f", Holm-corrected over {others} systems" if others > 1 else ""
    threads = f"{report.threads} CPU thread{'s' if report.threads != 1 else ''}"
    kept = [system.name for system in report.systems if system.kept]
    earlier = f" Answers and times kept from an earlier run: {', '.join(kept)}." if kept else ""
    return (
        f"Δ: difference to {report.baseline}, bootstrap interval. p: two-sided randomisation test{corrected}. "
        f"ms: median (p20-p80), one query at a time, warm, all stages included, {threads}.{earlier}"
    )

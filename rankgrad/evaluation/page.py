"""Reports as one HTML page that needs no other file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from rankgrad.evaluation.pictures import CAPTIONS
from rankgrad.evaluation.table import caption_of, format_ms, format_p

if TYPE_CHECKING:
    from rankgrad.evaluation.report import Report

_QUERIES = 5
# No script, no request: names of systems and ids of queries are text, whatever they hold.
_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }}
table {{ border-collapse: collapse; margin: 1rem 0; }}
th, td {{ padding: 0.2rem 0.8rem; text-align: right; border-bottom: 1px solid #ddd; }}
th:first-child, td:first-child {{ text-align: left; }}
td {{ font-variant-numeric: tabular-nums; }}
figure {{ margin: 1.5rem 0; }}
img {{ max-width: 100%; }}
figcaption, .note {{ color: #555; font-size: 13px; }}
</style>
</head>
<body>
"""


def report_page(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The page of one report.

    Args:
        report: what to show.
        pictures: PNG files by name, see :func:`rankgrad.evaluation.pictures.pictures`.
    """
    return page(report.collection, [f"<h1>{_text(report.collection)}</h1>", section(report, pictures)])


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page with these parts as its body."""
    return _HEAD.format(title=_text(title)) + "\n".join(parts) + "\n</body>\n</html>\n"


def section(report: Report, pictures: Mapping[str, bytes]) -> str:
    """What one report says, without a heading."""
    threads = f"{report.threads} CPU thread{'s' if report.threads != 1 else ''}"
    shown = [
        f"<p>{len(report.queries):,} queries, {report.documents:,} documents, {threads}.</p>",
        _systems(report),
        f'<p class="note">{_text(caption_of(report))}</p>',
        *(_picture(name, content) for name, content in pictures.items()),
    ]
    if report.comparisons:
        shown += [_comparisons(report), _queries(report)]
    return "\n".join(shown)


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts, which are escaped.

    Example:
        >>> print(html_table(["a"], [["<b>"]]))
        <table>
        <tr><th>a</th></tr>
        <tr><td>&lt;b&gt;</td></tr>
        </table>
    """
    lines = ["".join(f"<th>{_text(cell)}</th>" for cell in header)]
    lines += ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"


def _systems(report: Report) -> str:
    first = report.metrics[0]
    rows = []
    for system in report.systems:
        row = report.comparison(system.name, first)
        difference = "baseline" if row is None else f"{row.difference:+.3f} [{row.low:+.3f}, {row.high:+.3f}]"
        time = system.latency()
        rows.append(
            [
                system.name,
                *(f"{system.mean(metric):.4f}" for metric in report.metrics),
                difference,
                "" if row is None else format_p(row.randomization_p_holm),
                f"{format_ms(time['p50'])} ({format_ms(time['p20'])}-{format_ms(time['p80'])})",
            ]
        )
    return html_table(["system", *report.metrics, f"Δ {first} [95 %]", "p", "ms a query"], rows)


def _comparisons(report: Report) -> str:
    """Every test of every metric."""
    header = ["system", "metric", "Δ [95 %]", "p, t-test", "p, randomisation", "Holm, t-test", "Holm, randomisation"]
    rows = [
        [
            row.system,
            row.metric,
            f"{row.difference:+.4f} [{row.low:+.4f}, {row.high:+.4f}]",
            *map(format_p, (row.t_p, row.randomization_p, row.t_p_holm, row.randomization_p_holm)),
        ]
        for row in report.comparisons
    ]
    note = f'<p class="note">Corrected for the number of systems in {_text(report.metrics[0])}, which decides.</p>'
    return f"<details><summary>All tests</summary>\n{html_table(header, rows)}\n{note}\n</details>"


def _queries(report: Report) -> str:
    """The queries that gain and lose most."""
    first = report.metrics[0]
    base = next(system for system in report.systems if system.name == report.baseline).values[first]
    rows = []
    for system in report.systems:
        if system.name == report.baseline:
            continue
        own = system.values[first]
        order = sorted(range(len(base)), key=lambda place: base[place] - own[place])
        gains = [place for place in order[:_QUERIES] if own[place] > base[place]]
        losses = [place for place in order[: -_QUERIES - 1 : -1] if own[place] < base[place]]
        rows += [
            [system.name, report.queries[place], f"{base[place]:.4f}", f"{own[place]:.4f}"] for place in gains + losses
        ]
    header = ["system", "query", f"{first} of {report.baseline}", first]
    return f"<details><summary>Queries that change most</summary>\n{html_table(header, rows)}\n</details>"


def _picture(name: str, content: bytes) -> str:
    caption = _text(CAPTIONS.get(name, name))
    data = b64encode(content).decode("ascii")
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">\n<figcaption>{caption}</figcaption></figure>'
    )


def _text(text: str) -> str:
    return escape(text, quote=True)

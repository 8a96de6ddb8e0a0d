"""A study as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from rankgrad.evaluation.page import html_table, page, section
from rankgrad.evaluation.study_table import study_caption, study_rows

if TYPE_CHECKING:
    from rankgrad.evaluation.study_report import StudyReport


def study_page(report: StudyReport, pictures: Mapping[str, Mapping[str, bytes]]) -> str:
    """The page: all collections in one table, then each by itself.

    Args:
        report: what to show.
        pictures: by collection, PNG files by name, see :func:`rankgrad.evaluation.pictures.pictures`.
    """
    title = f"{len(report.systems)} systems on {len(report.collections)} collections"
    header, rows = study_rows(report)
    parts = [f"<h1>{escape(title)}</h1>", html_table(header, rows)]
    parts.append(f'<p class="note">{escape(study_caption(report))}</p>')
    for each in report.reports:
        parts += [f"<h2>{escape(each.collection)}</h2>", section(each, pictures[each.collection])]
    return page(title, parts)

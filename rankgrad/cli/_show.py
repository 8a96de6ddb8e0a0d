"""Printing ranked documents: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple


class Found(NamedTuple):
    """One line of a result: the best first."""

    name: str
    score: float
    text: str


def show(query: str, found: Sequence[Found], *, name: str, as_json: bool) -> None:
    """Print ranked documents.

    Args:
        query: repeated in JSON.
        found: the documents, best first.
        name: what a document's name is: ``"id"`` or ``"document"``.
        as_json: one JSON object instead of a table.
    """
    if as_json:
        print(json.dumps({"query": query, "results": results_of(found, name)}, ensure_ascii=False, indent=2))
    elif is_terminal() and find_spec("rich"):
        _rich_table(found, name)
    else:
        for rank, row in enumerate(found, 1):
            print(f"{rank:>3}  {row.score:>9.4f}  {row.name}  {' '.join(row.text.split())[:100]}")


def results_of(found: Sequence[Found], name: str) -> list[dict[str, object]]:
    """Ranked documents as plain values for JSON."""
    return [{"rank": rank, name: row.name, "score": row.score, "text": row.text} for rank, row in enumerate(found, 1)]


def is_terminal() -> bool:
    """Is somebody looking at what is printed?"""
    return sys.stdout.isatty()


def note(message: str) -> None:
    """Say something on standard error, in one line."""
    print(f"rankgrad: {' '.join(message.split())}", file=sys.stderr)


def _rich_table(found: Sequence[Found], name: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    table.add_column("rank", justify="right")
    table.add_column("score", justify="right")
    table.add_column(name, no_wrap=True)
    table.add_column("text", no_wrap=True, overflow="ellipsis", ratio=1)
    for rank, row in enumerate(found, 1):
        table.add_row(str(rank), f"{row.score:.4f}", Text(row.name), Text(" ".join(row.text.split())))
    Console().print(table)

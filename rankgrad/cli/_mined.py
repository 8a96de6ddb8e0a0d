"""What ``rankgrad mine`` shows, and what it remembers of its input."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._digest import digest_of_texts

if TYPE_CHECKING:
    from rich.table import Table

    from rankgrad.data import Task
    from rankgrad.training import MiningSummary

# What says where and how the result is shown, not what it is.
_ELSEWHERE = ("command", "run", "parser", "out", "overwrite", "json", "shard_size")


def settings_of(arguments: argparse.Namespace, task: Task, files: Mapping[str, Path]) -> dict[str, Any]:
    """The options, and fingerprints of the data and of the files that they name."""
    chosen = {name: value for name, value in vars(arguments).items() if name not in _ELSEWHERE}
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in chosen.items()}
    marks = {f"{name}_files": _stamp(path) for name, path in files.items()}
    return {**settings, **marks, "collection": _fingerprint(task)}


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[int], None]]:
    """A function that takes how many queries are done; it draws a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("mining"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("mining", total=total)
        yield lambda done: progress.update(bar, completed=done)


def summary_table(summary: MiningSummary, out: Path) -> Table:
    """The counts of a mining run."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "count", title=escape(f"mined into {out}"))
    table.columns[1].justify = "right"
    rows = {
        "queries": summary.queries,
        f"with {summary.wanted} negatives": summary.enough,
        "with fewer": summary.too_few,
        "with none (left out)": summary.without,
        "negatives": summary.negatives,
        "triples": summary.triples,
        **{f"dropped: {name}": count for name, count in summary.dropped.items()},
    }
    for name, count in rows.items():
        table.add_row(name, str(count))
    return table


def _stamp(path: Path) -> str:
    """Changes when a file, or a file in a folder, does."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    marks = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return hashlib.sha256(repr(marks).encode()).hexdigest()[:16]


def _fingerprint(task: Task) -> str:
    """Changes when a text, an id or a judgement does."""
    from rankgrad.evaluation import task_fingerprint

    return digest_of_texts([task_fingerprint(task), repr(task.qrels)])

"""A progress bar that keeps off the clock of what is measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rankgrad._checks import require


@contextmanager
def progress_bar(total: int, *, shown: bool) -> Iterator[Callable[[str], Callable[..., object]]]:
    """A bar on stderr; yields what takes the name of a task and gives what to call after each of its steps."""
    if not shown:
        yield lambda _: lambda count=1: None
        return
    rich = require("rich.progress", "evaluate")
    console = require("rich.console", "evaluate").Console(file=sys.stderr)
    columns = ("{task.description}", rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeRemainingColumn())
    # Drawn between steps only: a thread that draws would run on the clock of the system that is measured.
    with rich.Progress(*columns, console=console, auto_refresh=False) as bar:
        task = bar.add_task("", total=total)

        def start(name: str) -> Callable[..., object]:
            bar.update(task, description=name, refresh=True)
            drawn = [bar.get_time()]

            def step(count: int = 1) -> None:
                bar.advance(task, count)
                if bar.get_time() - drawn[0] > 0.1:
                    drawn[0] = bar.get_time()
                    bar.refresh()

            return step

        yield start
        bar.refresh()

"""Results for a person: a table with the ratio to the peer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.machine import Environment
from benchmarks.record import Row

OURS = "rankgrad"
MORE_IS_BETTER = ("tokens/s", "queries", "nDCG", "recall")
_EVEN = 0.02


def first_peer(rows: Sequence[Row]) -> Row | None:
    """The first row that is not ours."""
    return next((row for row in rows if not row.provider.startswith(OURS)), None)


def ratio(row: Row, peer: Row | None) -> str:
    """How a row's median stands to the peer's: ``0.50 (better)``, ``even`` within 2 %; nothing without a peer."""
    if peer is None or row.provider == peer.provider or peer.p50 == 0:
        return ""
    value = row.p50 / peer.p50
    if abs(value - 1) < _EVEN:
        return f"{value:.2f} (even)"
    better = value > 1 if row.unit in MORE_IS_BETTER else value < 1
    return f"{value:.2f} ({'better' if better else 'worse'})"


def table(rows: Sequence[Row], where: Environment) -> Table:
    """Times, rates and sizes, a section a setting; what has no unit (agreement) is in the file."""
    made = Table(title=f"{rows[0].case} on {where.machine}; torch {where.torch}", title_justify="left")
    for heading in ("setting", "metric", "provider"):
        made.add_column(heading, overflow="fold")
    for heading in ("p20", "p50", "p80", "of the first peer"):
        made.add_column(heading, justify="right")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.unit:
            groups.setdefault((row.setting, row.metric), []).append(row)
    for (setting, metric), members in groups.items():
        made.add_section()
        peer = first_peer(members)
        for place, row in enumerate(members):
            label = (setting, f"{metric}, {row.unit}") if place == 0 else ("", "")
            numbers = [f"{value:.4g}" for value in (row.p20, row.p50, row.p80)]
            made.add_row(*label, row.provider, *numbers, ratio(row, peer))
    return made


def show(rows: Sequence[Row], where: Environment) -> None:
    """Print the table; as wide as it needs to be where the output is no terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=180)
    console.print(table(rows, where))

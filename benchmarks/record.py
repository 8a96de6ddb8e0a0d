"""Results on disk: one CSV a case and machine."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import Environment, slug
from benchmarks.measure import Spread
from rankgrad._checks import InputError
from rankgrad._files import atomic_file


class Row(NamedTuple):
    """One measured number of one provider in one setting."""

    case: str
    provider: str
    setting: str
    metric: str
    unit: str
    p20: float
    p50: float
    p80: float
    rounds: int


COLUMNS = (*Row._fields, *Environment._fields)


def row(case: str, provider: str, setting: str, metric: str, unit: str, values: Spread | float, rounds: int = 1) -> Row:
    """A row of a spread, or of a single value."""
    p20, p50, p80 = values if isinstance(values, Spread) else (values, values, values)
    return Row(case, provider, setting, metric, unit, p20, p50, p80, rounds)


def path_for(folder: str | Path, case: str, machine: str) -> Path:
    """The file of a case on a machine."""
    return Path(folder) / f"{case}--{slug(machine)}.csv"


def write(path: Path, rows: Sequence[Row], where: Environment) -> None:
    """Write all rows with their environment; all or nothing."""
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for each in rows:
            numbers = [f"{value:.6g}" for value in (each.p20, each.p50, each.p80)]
            writer.writerow([*each[:5], *numbers, each.rounds, *where])


def read(path: str | Path) -> tuple[list[Row], Environment]:
    """Read a file that :func:`write` wrote, and check it.

    Raises:
        InputError: naming the file and the line that breaks the schema.
    """
    with Path(path).open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InputError(f"{path}:1: the columns are not {','.join(COLUMNS)}: measure again")
    if len(lines) == 1:
        raise InputError(f"{path}: no rows: measure again")
    rows = [_row(path, number, cells) for number, cells in enumerate(lines[1:], 2)]
    wheres = {tuple(cells[len(Row._fields) :]) for cells in lines[1:]}
    if len(wheres) != 1:
        raise InputError(f"{path}: rows of {len(wheres)} environments in one file: measure again")
    _check_unique(path, rows)
    return rows, Environment(*wheres.pop())


def _row(path: str | Path, number: int, cells: list[str]) -> Row:
    where = f"{path}:{number}"
    if len(cells) != len(COLUMNS) or not all(cells[index] for index, name in enumerate(COLUMNS) if name != "unit"):
        raise InputError(f"{where}: {len(cells)} cells, some empty; {len(COLUMNS)} filled ones are expected")
    named = dict(zip(COLUMNS, cells, strict=True))
    try:
        numbers = (float(named["p20"]), float(named["p50"]), float(named["p80"]))
        rounds = int(named["rounds"])
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    if not all(map(math.isfinite, numbers)) or list(numbers) != sorted(numbers) or rounds < 1:
        raise InputError(f"{where}: expected p20 <= p50 <= p80, finite, and rounds >= 1; got {numbers}, {rounds}")
    case, provider, setting, metric, unit = cells[:5]
    return Row(case, provider, setting, metric, unit, *numbers, rounds)


def _check_unique(path: str | Path, rows: Iterable[Row]) -> None:
    seen = set()
    for each in rows:
        key = (each.provider, each.setting, each.metric)
        if key in seen:
            raise InputError(f"{path}: {', '.join(key)} is there twice")
        seen.add(key)

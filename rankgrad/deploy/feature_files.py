"""Reading lists of feature rows with numpy alone: svmlight lines, or CSV with a header."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rankgrad._checks import InputError

QUERY_COLUMNS = ("qid", "query")
LABEL_COLUMN = "label"
_MOST_DIGITS = 19


class FeatureFile(NamedTuple):
    """The lists of a file, in its order.

    ``queries`` are their names, ``lists`` the rows float32 ``[items, features]`` of each, ``lines`` their line numbers.
    """

    queries: tuple[str, ...]
    lists: list[np.ndarray]
    lines: list[list[int]]


class _Row(NamedTuple):
    line: int
    query: str
    values: np.ndarray


def read_feature_file(path: str | Path, *, features: int, names: Sequence[str] | None = None) -> FeatureFile:
    """Read ``.csv`` with a header, or (any other ending) svmlight lines ``label qid:QUERY 1:VALUE 7:VALUE``.

    In svmlight lines features are counted from 1, and those left out are 0. A CSV file may have a column ``qid`` or
    ``query``, and a ``label``, which is not read; of named features those columns are taken by name, else all others in
    their order. Empty cells are missing values. Rows without a query are one list.

    Args:
        path: the file, in UTF-8.
        features: how many a row has.
        names: of the features.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: naming file and line.

    Example:
        >>> from tempfile import NamedTemporaryFile
        >>> with NamedTemporaryFile("w") as file:
        ...     _ = file.write("2 qid:7 1:0.5 3:1\\n0 qid:7 2:4 # a comment\\n1 qid:9 1:1\\n")
        ...     file.flush()
        ...     queries, lists, lines = read_feature_file(file.name, features=3)
        >>> queries, lists[0].tolist(), lines
        (('7', '9'), [[0.5, 0.0, 1.0], [0.0, 4.0, 0.0]], [[1, 2], [3]])
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file of feature rows")
    try:
        rows = _read_csv(path, features, names) if path.suffix.lower() == ".csv" else _read_svmlight(path, features)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error
    if not rows:
        raise InputError(f"{path} holds no rows")
    return _grouped(path, rows)


def _read_svmlight(path: Path, features: int) -> list[_Row]:
    rows = []
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = text.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}:{line}:"
        _number(words[0], f"{where} expected a label first")
        named = len(words) > 1 and words[1].startswith("qid:")
        values = np.zeros(features, dtype=np.float32)
        for word in words[1 + named :]:
            place, colon, value = word.partition(":")
            # Longer digits than Python turns into a number are no feature either.
            if not (colon and place.isdecimal() and len(place) < _MOST_DIGITS and int(place)):
                raise InputError(f"{where} expected FEATURE:VALUE, features counted from 1, got {word[:40]!r}")
            if int(place) > features:
                raise InputError(f"{where} feature {place}, but the model has {features}")
            values[int(place) - 1] = _number(value, f"{where} expected a number behind {place}:")
        rows.append(_Row(line, words[1][4:] if named else "", values))
    return rows


def _read_csv(path: Path, features: int, names: Sequence[str] | None) -> list[_Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            header = [name.strip() for name in next(reader, [])]
            cells = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise InputError(f"{path}:{reader.line_num}: cannot be read as CSV ({error}): mend this line") from error
    query = next((header.index(name) for name in QUERY_COLUMNS if name in header), None)
    columns = _columns(path, header, features, names)
    return [_csv_row(f"{path}:{line}:", line, row, header, columns, query) for line, row in cells]


def _csv_row(
    where: str, line: int, cells: Sequence[str], header: Sequence[str], columns: Sequence[int], query: int | None
) -> _Row:
    if len(cells) != len(header):
        raise InputError(f"{where} {len(cells)} cells under {len(header)} columns")
    values = [
        _number(cells[column].strip() or "nan", f"{where} column {header[column]!r}: expected a number")
        for column in columns
    ]
    with np.errstate(over="ignore"):
        numbers = np.asarray(values).astype(np.float32)
    return _Row(line, "" if query is None else cells[query].strip(), numbers)


def _columns(path: Path, header: Sequence[str], features: int, names: Sequence[str] | None) -> list[int]:
    """Where the features stand."""
    if names is not None:
        absent = [name for name in names if name not in header]
        if absent:
            raise InputError(f"{path}: no column {absent[0]!r} ({len(absent)} of {len(names)} features are missing)")
        return [header.index(name) for name in names]
    found = [place for place, name in enumerate(header) if name not in (*QUERY_COLUMNS, LABEL_COLUMN)]
    if len(found) != features:
        raise InputError(
            f"{path}: {len(found)} feature columns, expected {features} beside qid and label, under a header"
        )
    return found


def _number(text: str, problem: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{problem}, got {text[:40]!r}") from None


def _grouped(path: Path, rows: Sequence[_Row]) -> FeatureFile:
    """The rows of each query together."""
    starts = [place for place, row in enumerate(rows) if not place or row.query != rows[place - 1].query]
    seen: set[str] = set()
    for start in starts:
        if rows[start].query in seen:
            raise InputError(
                f"{path}:{rows[start].line}: query {rows[start].query!r} begins again after others: sort the file so "
                "that the rows of a query are together"
            )
        seen.add(rows[start].query)
    lists = [rows[start:end] for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]
    return FeatureFile(
        tuple(rows[start].query for start in starts),
        [np.stack([row.values for row in each]) for each in lists],
        [[row.line for row in each] for each in lists],
    )

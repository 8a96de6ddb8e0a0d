"""Reads large TREC files by the block; what is wrong with one, the careful readers say."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from rankgrad.data._word_grid import Number, word_grid

# What a block becomes stays in the cache.
_BLOCK = 1 << 19
_QUERY, _DOCUMENT = 0, 2
_WHITE = " \t\n\r\f\v"
WHITE = re.compile(f"[{_WHITE}]+")


class IrregularFileError(Exception):
    """A file with something that only a reader who counts lines can tell apart from an error."""


class Layout(NamedTuple):
    """The columns of a file.

    Args:
        columns: how many a line has.
        number: the place of the number, from 0.
        more: what follows the last column is part of it.
    """

    columns: int
    number: int
    more: bool = False


def query_columns(
    path: str | Path, layout: Layout, convert: Callable[[str], Number]
) -> Iterator[tuple[str, list[str], list[Number]]]:
    """The documents and numbers of each run of lines of one query; lines that start with ``#`` are comments.

    Args:
        path: the file; ``.gz`` is unpacked.
        layout: its columns.
        convert: ``int`` or ``float``, which reads the numbers.

    Raises:
        FileNotFoundError: when there is no such file.
        IrregularFileError: for a line with another number of columns, a number that ``convert`` refuses, bytes that are
            no UTF-8, or a broken gzip stream.
    """
    query, documents, numbers = "", list[str](), list[Number]()
    for text in _blocks(Path(path)):
        try:
            parts = _parts(text, layout, convert)
        except ValueError as error:
            raise IrregularFileError from error
        for name, found, values in parts:
            if documents and name == query:
                documents += found
                numbers += values
                continue
            if documents:
                yield query, documents, numbers
            query, documents, numbers = name, found, values
    if documents:
        yield query, documents, numbers


def _parts(text: str, layout: Layout, convert: Callable[[str], Number]) -> list[tuple[str, list[str], list[Number]]]:
    """Whole lines, by query; runs of one query may come in parts."""
    grid = word_grid(text, layout.columns)
    if grid is None:
        rows = _rows(text, layout)
        return [(row[_QUERY], [row[_DOCUMENT]], [convert(row[layout.number])]) for row in rows]
    documents, numbers = grid.words(_DOCUMENT), grid.numbers(layout.number, convert)
    return [
        (grid.word(_QUERY, start), documents[start:end], numbers[start:end])
        for start, end in pairwise(grid.runs(_QUERY))
    ]


def _rows(text: str, layout: Layout) -> Iterator[list[str]]:
    # Cut after the last column that is wanted: a line that has more shows it by one field too many.
    splits = layout.columns - 1 if layout.more else layout.columns
    for line in text.split("\n"):
        row = [] if line[:1] == "#" else words(line, splits)
        if row and len(row) != layout.columns:
            raise IrregularFileError
        if row:
            yield row


def words(line: str, splits: int = -1) -> list[str]:
    """The words of a line between what is white space to C; others (U+00A0, U+2028) may stand in an id.

    Example:
        >>> words("q Q0 d\u00a01 \t2", 2)
        ['q', 'Q0', 'd\xa01 \t2']
    """
    return line.split(None, splits) if line.isascii() else WHITE.split(line.strip(_WHITE), max(splits, 0))


def _blocks(path: Path) -> Iterator[str]:
    """Whole lines, about a block of them at a time."""
    with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
        rest, encoding = b"", "utf-8-sig"
        try:
            while block := file.read(_BLOCK):
                block = rest + block
                end = block.rfind(b"\n") + 1
                rest = block[end:]
                if end:
                    yield block[:end].decode(encoding)
                    encoding = "utf-8"
            yield rest.decode(encoding)
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IrregularFileError from error

"""Reads large TREC files by the block; what is wrong with one, the careful readers say."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, cast

_BLOCK = 1 << 22


class IrregularFileError(Exception):
    """A file with something that only a reader who counts lines can tell apart from an error."""


def query_rows(path: str | Path, columns: int, *, more: bool = False) -> Iterator[tuple[str, list[list[str]]]]:
    """The rows of each run of lines with the same first column; lines that start with ``#`` are comments.

    Args:
        path: the file; ``.gz`` is unpacked.
        columns: how many a line has.
        more: what follows the last column is part of it.

    Raises:
        FileNotFoundError: when there is no such file.
        IrregularFileError: for a line with another number of columns, bytes that are no UTF-8, or a broken gzip stream.
    """
    # Cut after the last column that is wanted: a line that has more shows it by one field too many.
    splits = columns - 1 if more else columns
    rows = (_rows(lines, columns, splits) for lines in _blocks(Path(path)))
    for query, group in groupby(chain.from_iterable(rows), key=itemgetter(0)):
        yield query, list(group)


def _rows(lines: list[str], columns: int, splits: int) -> list[list[str]]:
    rows = [line.split(None, splits) for line in lines if line[:1] != "#"]
    if not all(rows):
        rows = [row for row in rows if row]
    if set(map(len, rows)) - {columns}:
        raise IrregularFileError
    return rows


def _blocks(path: Path) -> Iterator[list[str]]:
    """The lines, some megabytes at a time."""
    with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
        rest, encoding = b"", "utf-8-sig"
        try:
            while block := file.read(_BLOCK):
                block = rest + block
                end = block.rfind(b"\n") + 1
                rest = block[end:]
                if end:
                    yield block[:end].decode(encoding).split("\n")
                    encoding = "utf-8"
            yield rest.decode(encoding).split("\n")
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise IrregularFileError from error

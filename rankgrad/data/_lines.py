"""Reads text files line by line, plain or gzipped, and says where a bad one is."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from rankgrad._checks import InputError

_LARGEST = sys.float_info.max


class Line(str):
    """A line that knows its place.

    Args:
        text: the line without its end.
        where: ``file:line``, for messages.
    """

    where: str

    def __new__(cls, text: str, where: str) -> Line:
        line = super().__new__(cls, text)
        line.where = where
        return line


def read_lines(path: str | Path) -> Iterator[Line]:
    """The lines that hold something, as UTF-8; ``.gz`` is unpacked.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for bytes that are no UTF-8, a broken gzip stream, or a file without a line.
    """
    path = Path(path)
    found = False
    number = 0
    with cast(BinaryIO, gzip.open(path) if path.suffix == ".gz" else path.open("rb")) as file:
        try:
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
                if text.strip():
                    found = True
                    yield Line(text, f"{path}:{number}")
        except UnicodeDecodeError as error:
            raise InputError(f"{path}:{number}: not UTF-8 ({error.reason}): save the file as UTF-8") from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path}:{number + 1}: broken gzip stream ({error}): fetch the file again") from None
    if not found:
        raise InputError(f"{path}: the file is empty")


def read_objects(path: str | Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The JSON objects of a JSONL file, each with its ``file:line``."""
    return (read_object(line) for line in read_lines(path))


def read_object(line: Line) -> tuple[dict[str, Any], str]:
    """The JSON object on a line, with its ``file:line``."""
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{line.where}: not valid JSON ({error.msg} at column {error.colno})") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise InputError(f"{line.where}: JSON that cannot be read ({error})") from None
    if not isinstance(record, dict):
        raise InputError(f"{line.where}: expected a JSON object {{...}}, got {type(record).__name__}")
    return record, line.where


def text_field(record: dict[str, Any], name: str, where: str, *, blank: bool = False) -> str:
    """A field that must be a string; ``blank`` lets it be empty. Half a surrogate pair becomes U+FFFD."""
    value = record.get(name)
    if not isinstance(value, str):
        raise InputError(f"{where}: field {name!r} must be a string, got {json.dumps(value)}")
    if not blank and not value.strip():
        raise InputError(f"{where}: field {name!r} is empty")
    return _whole(value)


def texts_field(record: dict[str, Any], name: str, where: str) -> tuple[str, ...]:
    """A field that must be a list with at least one string. Half a surrogate pair becomes U+FFFD."""
    value = record.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise InputError(f"{where}: field {name!r} must be a list of at least one string")
    return tuple(map(_whole, value))


def numbers_field(record: dict[str, Any], name: str, where: str) -> tuple[float, ...]:
    """A field that must be a list of finite numbers."""
    value = record.get(name)
    if not isinstance(value, list):
        raise InputError(f"{where}: field {name!r} must be a list of numbers, got {json.dumps(value)}")
    return tuple(finite(item, name, where) for item in value)


def finite(value: object, name: str, where: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_LARGEST <= value <= _LARGEST:
        raise InputError(f"{where}: {name}: expected a finite number, got {json.dumps(value)}")
    return float(value)


def _whole(text: str) -> str:
    """Half a surrogate pair, which texts cut by UTF-16 units end in and no tokenizer takes, as U+FFFD.

    Example:
        >>> _whole("cut \\ud83d") == "cut \\ufffd"
        True
    """
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

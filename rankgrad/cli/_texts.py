"""Texts from the command line, a file or standard input."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rankgrad._checks import InputError


def read_query(text: str) -> str:
    """Refuse a query without a visible character.

    Raises:
        InputError: for an empty query, or bytes that are no UTF-8.
    """
    _check_characters(text, "the query")
    if not text.strip():
        raise InputError("the query is empty: give it at least one word")
    return text


def read_documents(arguments: Sequence[str], file: str | None) -> list[str]:
    """The documents to rerank: the arguments, the lines of a file, or those of standard input.

    Args:
        arguments: documents given as words of the command line.
        file: a path, ``-`` for standard input, or None.

    Raises:
        InputError: for none at all, both kinds at once, an empty one, or a malformed line.
        FileNotFoundError: when the file does not exist.
    """
    if arguments and file is not None:
        raise InputError("documents come from arguments or from --file: leave one of them out")
    if arguments:
        for position, text in enumerate(arguments, 1):
            _check_characters(text, f"document {position}")
            if not text.strip():
                raise InputError(f"document {position} of {len(arguments)} is empty: leave it out or give it text")
        return list(arguments)
    if file is None and sys.stdin.isatty():
        raise InputError("no document given: pass documents as arguments, with --file, or on standard input")
    name, content = ("standard input", _standard_input()) if file in (None, "-") else (file, Path(file).read_bytes())
    try:
        lines = io.StringIO(content.decode("utf-8"), newline=None).read().split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8 text (byte {error.start}): convert it first") from error
    return _documents(lines[:-1] if lines[-1] == "" else lines, name)


def _check_characters(text: str, what: str) -> None:
    """A shell hands on bytes that are no UTF-8, which Python keeps as characters that no tokenizer takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(f"{what} is not UTF-8 text (character {error.start}): convert it first") from error


def _documents(lines: list[str], name: str) -> list[str]:
    if not lines:
        raise InputError(f"{name} holds no document: give one a line")
    is_jsonl = name.endswith(".jsonl") or _is_object(lines[0])
    documents = []
    for number, line in enumerate(lines, 1):
        text = _text_of(line, f"{name}:{number}") if is_jsonl else line
        if not text.strip():
            raise InputError(f"{name}:{number} is an empty document: remove the line or give it text")
        documents.append(text)
    return documents


def _text_of(line: str, where: str) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where} is malformed JSON ({error.msg} at column {error.colno}): mend or remove the line"
        ) from error
    if not isinstance(record, dict) or not isinstance(record.get("text"), str):
        raise InputError(f'{where} has no text: write {{"text": "..."}}')
    title = record.get("title")
    return f"{title} {record['text']}" if isinstance(title, str) and title else record["text"]


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except json.JSONDecodeError:
        return False


def _standard_input() -> bytes:
    """All of standard input; under a test it may be a text stream without bytes below it."""
    buffer = getattr(sys.stdin, "buffer", None)
    return sys.stdin.read().encode() if buffer is None else buffer.read()

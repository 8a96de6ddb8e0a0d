"""Errors that say what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType


class InputError(ValueError):
    """Something the caller handed over cannot be used; the message names it and the remedy."""


class MissingExtraError(ImportError):
    """A library of an optional extra is not installed."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, or name the extra that brings it.

    Raises:
        MissingExtraError: when the module cannot be imported.

    Example:
        >>> require("json", "text").__name__
        'json'
        >>> require("no_such_module", "onnx")
        Traceback (most recent call last):
        ...
        rankgrad._checks.MissingExtraError: no_such_module is not installed: pip install "rankgrad[onnx]"
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        name = module.split(".")[0]
        raise MissingExtraError(f'{name} is not installed: pip install "rankgrad[{extra}]"') from error


def check_texts(texts: Sequence[str], what: str, *, allow_blank: bool = False) -> None:
    """Refuse a bare string, an empty batch, a value that is no string, and a text without a visible character.

    Args:
        texts: the batch.
        what: the name of one item in messages.
        allow_blank: accept texts without a visible character (collections hold empty documents).

    Raises:
        TypeError: for a bare string or an item that is no string.
        InputError: for an empty batch or a blank text.

    Example:
        >>> check_texts(["what is bm25", " "], "query")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: query 1 (counting from 0) is empty: give it at least one word
    """
    if isinstance(texts, str):
        raise TypeError(f"{what}: expected a sequence of strings, got one string; wrap it in a list")
    if len(texts) == 0:
        raise InputError(f"no {what} given: pass at least one")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"{what} {position} (counting from 0): expected a string, got {type(text).__name__}")
        if not allow_blank and not text.strip():
            raise InputError(f"{what} {position} (counting from 0) is empty: give it at least one word")

"""Errors that come out of a loader's workers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rankgrad._checks import InputError, MissingExtraError

Batch = TypeVar("Batch")


def own_message(error: Exception) -> str:
    """What an error said in the worker that raised it: torch hands over its whole traceback as the message.

    Example:
        >>> text = "Caught ValueError in DataLoader worker process 0.\\nOriginal Traceback\\nValueError: no x\\n"
        >>> own_message(ValueError(text))
        'no x'
        >>> own_message(ValueError("no x"))
        'no x'
    """
    kind, text = type(error), str(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if not text.startswith(f"Caught {kind.__name__} in DataLoader worker process"):
        return text
    _, found, message = text.rpartition(f"\n{name}: ")
    return message.rstrip("\n") if found else text


def with_own_messages(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the batches; what is wrong with the data is said as without workers, the traceback kept as the cause.

    Raises:
        InputError, MissingExtraError, OSError: what a worker raised.
    """
    try:
        yield from batches
    except (InputError, MissingExtraError, OSError) as error:
        message = own_message(error)
        if message == str(error):
            raise
        raise type(error)(message) from error

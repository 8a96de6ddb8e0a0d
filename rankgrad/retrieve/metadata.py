"""Fields of documents, and the documents whose fields meet a condition."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rankgrad._checks import InputError


class Metadata:
    """Columns of values, one value a document; conditions give masks, which combine with ``&``, ``|`` and ``~``.

    Args:
        fields: each field's values in the order of the collection; None = the document has no such value, and meets
            no condition on it.

    Raises:
        InputError: for no field, or fields of different lengths.

    Example:
        >>> metadata = Metadata({"year": [1999, 2005, None], "language": ["en", "de", "en"]})
        >>> (metadata.between("year", 2000) | metadata.one_of("language", ["en"])).tolist()
        [True, True, True]
        >>> metadata.one_of("colour", ["red"])
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: there is no field 'colour': choose one of language, year
    """

    def __init__(self, fields: Mapping[str, Sequence[Any]]) -> None:
        lengths = {name: len(values) for name, values in fields.items()}
        if not lengths:
            raise InputError("fields: expected at least one field, got none")
        if len(set(lengths.values())) > 1:
            raise InputError(f"fields: expected one value a document in each, got {lengths}")
        self.fields = {name: tuple(values) for name, values in fields.items()}

    def one_of(self, field: str, values: Collection[Any]) -> Tensor:
        """The documents whose value is one of ``values``: bool ``[documents]``.

        Raises:
            TypeError: for a string, which is a collection of letters.
            InputError: for a field that does not exist.
        """
        if isinstance(values, str):
            raise TypeError(f"values: expected a collection of values, got one string; write [{values!r}]")
        return torch.tensor([value is not None and value in values for value in self._column(field)], dtype=torch.bool)

    def between(self, field: str, low: Any = None, high: Any = None) -> Tensor:
        """The documents whose value lies from ``low`` to ``high``, both included, None = open: bool ``[documents]``.

        Raises:
            InputError: for a field that does not exist, or whose values do not compare with the bounds.
        """
        column = self._column(field)
        try:
            inside = [
                value is not None and (low is None or value >= low) and (high is None or value <= high)
                for value in column
            ]
        except TypeError as error:
            raise InputError(f"field {field!r} does not compare with {low!r} and {high!r}: {error}") from error
        return torch.tensor(inside, dtype=torch.bool)

    def _column(self, field: str) -> tuple[Any, ...]:
        if field not in self.fields:
            raise InputError(f"there is no field {field!r}: choose one of {', '.join(sorted(self.fields))}")
        return self.fields[field]

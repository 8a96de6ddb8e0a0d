"""Conditions on fields that Qdrant holds; the counterpart of masks from :class:`rankgrad.retrieve.Metadata`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rankgrad._checks import InputError


@dataclass(frozen=True)
class QdrantCondition:
    """A filter in Qdrant's JSON, and the fields it names; conditions combine with ``&``, ``|`` and ``~``.

    Make one with :meth:`one_of` or :meth:`between`, or give any filter of Qdrant's own as ``content``.

    Args:
        content: the JSON of a Qdrant filter.
        fields: what it names, so that an unknown field can be refused.

    Example:
        >>> recent = QdrantCondition.between("year", 2000) & ~QdrantCondition.one_of("language", ["de"])
        >>> sorted(recent.fields)
        ['language', 'year']
        >>> recent.content["must"][0]
        {'must': [{'key': 'year', 'range': {'gte': 2000}}]}
    """

    content: dict[str, Any]
    fields: frozenset[str] = frozenset()

    @classmethod
    def one_of(cls, field: str, values: Collection[Any]) -> QdrantCondition:
        """Documents whose value of ``field`` is one of ``values``.

        Raises:
            TypeError: for a string, which is a collection of letters.
            InputError: for a value that is no string, number or bool.
        """
        if isinstance(values, str):
            raise TypeError(f"values: expected a collection of values, got one string; write [{values!r}]")
        # Nothing is one of nothing; an empty "should" would let every document pass.
        content = {"should": [_equals(field, value) for value in values]} if values else {"must": [{"has_id": []}]}
        return cls(content, frozenset([field]))

    @classmethod
    def between(cls, field: str, low: float | None = None, high: float | None = None) -> QdrantCondition:
        """Documents whose number in ``field`` lies from ``low`` to ``high``, both included, None = open.

        Raises:
            InputError: for a bound that is no number.
        """
        for bound in (low, high):
            if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int | float)):
                raise InputError(
                    f"field {field!r}: Qdrant compares numbers, got {bound!r}: use one_of for other values"
                )
        if low is None and high is None:
            return cls({"must_not": [{"is_empty": {"key": field}}]}, frozenset([field]))
        bounds = {name: bound for name, bound in (("gte", low), ("lte", high)) if bound is not None}
        return cls({"must": [{"key": field, "range": bounds}]}, frozenset([field]))

    def __and__(self, other: QdrantCondition) -> QdrantCondition:
        return QdrantCondition({"must": [self.content, other.content]}, self.fields | other.fields)

    def __or__(self, other: QdrantCondition) -> QdrantCondition:
        return QdrantCondition({"should": [self.content, other.content]}, self.fields | other.fields)

    def __invert__(self) -> QdrantCondition:
        return QdrantCondition({"must_not": [self.content]}, self.fields)


def _equals(field: str, value: Any) -> dict[str, Any]:
    if isinstance(value, float):
        return {"key": field, "range": {"gte": value, "lte": value}}
    if isinstance(value, str | int):
        return {"key": field, "match": {"value": value}}
    raise InputError(f"field {field!r}: expected strings, numbers or bools to look for, got {value!r}")

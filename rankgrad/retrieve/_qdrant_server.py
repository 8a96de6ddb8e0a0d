"""A collection of Qdrant: requests that are tried again, and errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rankgrad._checks import InputError, require

OWN = "rankgrad"
ROW, DIGEST = "_row", "_digest"
_TOO_BUSY = 429

Answer = TypeVar("Answer")


class QdrantCollection:
    """One collection, in memory, in a folder or behind a URL.

    Args:
        location: ``":memory:"``, a folder, or the URL of a server.
        name: of the collection.
        api_key: of the server.
        timeout: seconds that one request may take.
        attempts: how often a request is tried.
        wait: seconds before the second try; each further wait is twice as long.

    Raises:
        MissingExtraError: without qdrant-client.
        InputError: for a folder that another process holds.
    """

    def __init__(
        self, location: str, name: str, *, api_key: str | None, timeout: int, attempts: int, wait: float
    ) -> None:
        library = require("qdrant_client", "qdrant")
        self.models: Any = library.models
        self.location, self.name = location, name
        self.attempts, self.wait = attempts, wait
        self.remote = "://" in location
        self.made = False
        self.known: set[str] = set()
        memory = location == ":memory:"
        place = {"location": location} if memory else {"url": location} if self.remote else {"path": location}
        options = {"api_key": api_key, "timeout": timeout, "check_compatibility": False} if self.remote else {}
        try:
            self.client: Any = library.QdrantClient(**place, **options)
        except RuntimeError as error:
            raise InputError(f"{location}: {error}") from error

    def ask(self, request: Callable[[], Answer]) -> Answer:
        """Make a request, again after a while where the server does not answer or cannot now.

        Raises:
            InputError: when it has not answered after the last try, or refuses the request.
        """
        errors = require("qdrant_client.http.exceptions", "qdrant")
        busy = require("qdrant_client.common.client_exceptions", "qdrant").ResourceExhaustedResponse
        began = time.monotonic()
        for attempt in range(1, self.attempts + 1):
            pause = self.wait * 2 ** (attempt - 1)
            try:
                return request()
            except errors.UnexpectedResponse as error:
                if error.status_code < 500 and error.status_code != _TOO_BUSY:
                    raise InputError(f"Qdrant at {self.location} refuses this: {_one_line(error)}") from error
                problem: Exception = error
            except errors.ResponseHandlingException as error:
                problem = error.source
            except busy as error:
                problem, pause = error, max(pause, error.retry_after_s)
            except ValueError as error:
                # What a server would refuse; the embedded engine raises it itself.
                raise InputError(f"Qdrant at {self.location} refuses this: {_one_line(error)}") from error
            if attempt == self.attempts:
                raise InputError(
                    f"Qdrant at {self.location} did not answer in {attempt} tries ({time.monotonic() - began:.1f} s; "
                    f"the last: {_one_line(problem)}): is it running there? Nothing is lost: the same call goes on "
                    "where this one stopped"
                ) from problem
            time.sleep(pause)
        raise InputError(f"attempts={self.attempts}: a request needs at least one")

    def exists(self) -> bool:
        """Is there such a collection?"""
        return self.ask(lambda: self.client.collection_exists(self.name))

    def create(self, vectors: Mapping[str, Any]) -> None:
        """Make the collection with these vectors' configurations, or check that the one there has the same.

        Raises:
            InputError: where another encoder made it.
        """
        if self.made:
            return
        self.made = self._make(vectors)

    def _make(self, vectors: Mapping[str, Any]) -> bool:
        sparse = {name: one for name, one in vectors.items() if isinstance(one, self.models.SparseVectorParams)}
        dense = {name: one for name, one in vectors.items() if name not in sparse}
        if self.exists():
            params = self._info().config.params
            there = {name: one.size for name, one in (params.vectors or {}).items()}
            wanted = {name: one.size for name, one in dense.items()}
            if there != wanted or set(params.sparse_vectors or {}) != sparse.keys():
                raise InputError(
                    f"collection {self.name!r} at {self.location} holds vectors {there} and sparse ones "
                    f"{sorted(params.sparse_vectors or {})}, the encoders give {wanted} and {sorted(sparse)}: "
                    "name another collection"
                )
            return True
        options = {"vectors_config": dense, "sparse_vectors_config": sparse, "metadata": {OWN: {"fields": []}}}
        self.ask(lambda: self.client.create_collection(self.name, **options))
        self._index({ROW: self.models.PayloadSchemaType.INTEGER})
        return True

    def fields(self) -> set[str]:
        """The fields that documents have."""
        return set((self._info().config.metadata or {}).get(OWN, {}).get("fields", ()))

    def know(self, fields: Mapping[str, Sequence[Any]]) -> None:
        """Remember new fields, and have the server index them."""
        if fields.keys() <= self.known:
            return
        there = self.fields()
        new = {name: values for name, values in fields.items() if name not in there}
        if new:
            metadata = {OWN: {"fields": sorted(there | new.keys())}}
            self._index({name: self._type(name, values) for name, values in new.items()})
            self.ask(lambda: self.client.update_collection(self.name, metadata=metadata))
        self.known = there | new.keys()

    def digests(self, rows: Sequence[int]) -> dict[int, str]:
        """The mark of each of these documents that is there."""
        found = self.ask(lambda: self.client.retrieve(self.name, list(rows), with_payload=[DIGEST]))
        return {point.id: (point.payload or {}).get(DIGEST, "") for point in found}

    def count(self) -> int:
        """How many documents there are."""
        return self.ask(lambda: self.client.count(self.name, exact=True)).count

    def next_row(self) -> int:
        """One more than the highest row."""
        order = self.models.OrderBy(key=ROW, direction=self.models.Direction.DESC)
        options = {"limit": 1, "order_by": order, "with_payload": False}
        points, _ = self.ask(lambda: self.client.scroll(self.name, **options))
        return points[0].id + 1 if points else 0

    def put(self, points: Sequence[Any]) -> None:
        """Write points over those with the same rows."""
        self.ask(lambda: self.client.upsert(self.name, list(points), wait=True))

    def remove(self, rows: Sequence[int]) -> None:
        """Take points out."""
        self.ask(lambda: self.client.delete(self.name, list(rows), wait=True))

    def query(self, requests: Sequence[Any]) -> list[Any]:
        """What is found for each request, best first."""
        answers = self.ask(lambda: self.client.query_batch_points(self.name, list(requests)))
        return [answer.points for answer in answers]

    def _info(self) -> Any:
        return self.ask(lambda: self.client.get_collection(self.name))

    def _index(self, types: Mapping[str, Any]) -> None:
        # The embedded engine has no such indexes and warns of them.
        for name, kind in types.items() if self.remote else ():
            self.ask(lambda name=name, kind=kind: self.client.create_payload_index(self.name, name, kind))

    def _type(self, name: str, values: Sequence[Any]) -> Any:
        kinds = {type(value) for value in values if value is not None}
        types = self.models.PayloadSchemaType
        if kinds <= {bool}:
            return types.BOOL
        if kinds <= {int, float}:
            return types.FLOAT if float in kinds else types.INTEGER
        if kinds == {str}:
            return types.KEYWORD
        raise InputError(f"field {name!r}: expected strings, numbers or bools, got {sorted(map(repr, kinds))}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""A request that is refused, and how that is told."""

from __future__ import annotations

import json
from collections.abc import Mapping


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: the HTTP status.
        kind: what went wrong, one word for programs.
        message: what went wrong and what to do, for people; it never repeats a text of the request.
        headers: to add to the response.
    """

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = dict(headers or {})

    @property
    def body(self) -> bytes:
        """The response's body.

        Example:
            >>> RequestError(404, "not_found", "no such path").body
            b'{"error": {"type": "not_found", "message": "no such path"}}'
        """
        return json.dumps({"error": {"type": self.kind, "message": self.message}}).encode()


def internal_error() -> RequestError:
    """What a client is told of a fault of ours; the log has the rest."""
    return RequestError(500, "internal_error", "the server failed; its log says more under the id x-request-id")

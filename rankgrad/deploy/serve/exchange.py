"""One request and its response, as the log and the metrics see them."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

CLIENT_GONE = 499
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Exchange:
    """Follows a request from its head to the end of its answer.

    ``status`` is that of the answer; ``documents`` and ``tokens`` are entered by whoever counts them.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        given = self.headers.get(b"x-request-id", b"").decode("latin-1")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.begin = time.perf_counter()
        self.status = CLIENT_GONE
        self.started = False
        self.finished = False
        self.bytes_in = 0
        self.documents = 0
        self.tokens = 0
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer, with the request's id in its head."""
        if message["type"] == "http.response.start":
            self.started, self.status = True, message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self.id.encode())]}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.finished = True

    @property
    def seconds(self) -> float:
        """Time since the head came in."""
        return time.perf_counter() - self.begin

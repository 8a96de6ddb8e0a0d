"""What stands before the application: key, admission, body, time, log and metrics."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from rankgrad.deploy.serve.body import drain, read_body
from rankgrad.deploy.serve.errors import RequestError, internal_error
from rankgrad.deploy.serve.exchange import CLIENT_GONE, Exchange, Message, Receive, Scope, Send
from rankgrad.deploy.serve.logs import event, fault
from rankgrad.deploy.serve.metrics import Metrics
from rankgrad.deploy.serve.settings import ServerSettings

Application: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

HEALTH = "/health"
EXCHANGE = "rankgrad.exchange"


class Guard:
    """An ASGI application around another: nothing that a request holds or does stops the server.

    Args:
        app: gets requests whose body has arrived whole.
        settings: limits and key.
        metrics: counts.
        working: paths whose POST requests run the model; they are limited in number, size and time.
        known: all paths, the others are logged and counted as ``other``.
    """

    def __init__(
        self,
        app: Application,
        *,
        settings: ServerSettings,
        metrics: Metrics,
        working: Collection[str],
        known: Collection[str],
    ) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics
        self.working = frozenset(working)
        self.known = frozenset(known)
        self.admitted = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        scope[EXCHANGE] = exchange
        try:
            self._check_key(exchange)
            if exchange.method == "POST" and exchange.path in self.working:
                await self._admit(exchange, scope, receive)
            else:
                await self.app(scope, receive, exchange.send)
        except RequestError as error:
            await self._refuse(exchange, receive, error)
        except Exception as error:  # a fault of ours: told, logged, and the next request is served
            fault(error, id=exchange.id)
            await self._refuse(exchange, receive, internal_error())
        finally:
            self._record(exchange)

    async def _admit(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        if self.admitted >= self.settings.max_requests:
            raise RequestError(
                429, "busy", "the server is busy: send the request again after a second", {"Retry-After": "1"}
            )
        self.admitted += 1
        self.metrics.in_progress.inc()
        try:
            async with asyncio.timeout(self.settings.timeout):
                body = await read_body(exchange, receive, self.settings)
                await self._answer(exchange, scope, receive, body)
        except TimeoutError:
            seconds = self.settings.timeout
            raise RequestError(
                504, "timeout", f"the request took more than {seconds:g} s: send fewer or shorter documents"
            ) from None
        finally:
            self.admitted -= 1
            self.metrics.in_progress.dec()

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive, body: bytes) -> None:
        """Run the application until it is done or the client is gone."""
        gone = asyncio.ensure_future(_disconnected(receive))
        unread = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if unread:
                return unread.pop()
            await asyncio.wait({gone})
            return {"type": "http.disconnect"}

        working = asyncio.ensure_future(self.app(scope, replay, exchange.send))
        try:
            await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done() and not exchange.finished:
                exchange.status = CLIENT_GONE
                return
            await working
        finally:
            for task in (working, gone):
                task.cancel()
            await asyncio.gather(working, gone, return_exceptions=True)

    def _check_key(self, exchange: Exchange) -> None:
        if self.settings.api_key is None or exchange.path == HEALTH:
            return
        scheme, _, given = exchange.headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self.settings.api_key.encode()):
            raise RequestError(
                401,
                "unauthorized",
                "the API key is missing or wrong: send Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )

    async def _refuse(self, exchange: Exchange, receive: Receive, error: RequestError) -> None:
        """Send the error, unless an answer is under way: then the connection breaks off, and the client knows."""
        exchange.status = error.status
        if exchange.started or error.status == CLIENT_GONE:
            return
        if error.status in (401, 413, 415, 429):
            await drain(receive, self.settings)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(error.body)), **error.headers}
        try:
            async with asyncio.timeout(self.settings.body_timeout):
                await exchange.send(
                    {
                        "type": "http.response.start",
                        "status": error.status,
                        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
                    }
                )
                await exchange.send({"type": "http.response.body", "body": error.body})
        except (OSError, TimeoutError):
            exchange.status = CLIENT_GONE

    def _record(self, exchange: Exchange) -> None:
        path = exchange.path if exchange.path in self.known else "other"
        self.metrics.requests.labels(path, str(exchange.status)).inc()
        self.metrics.seconds.labels(path).observe(exchange.seconds)
        self.metrics.documents.inc(exchange.documents)
        event(
            "request",
            id=exchange.id,
            method=exchange.method if len(exchange.method) <= 16 else "other",
            path=path,
            status=exchange.status,
            ms=round(1e3 * exchange.seconds, 2),
            bytes=exchange.bytes_in,
            documents=exchange.documents,
            tokens=exchange.tokens,
        )


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

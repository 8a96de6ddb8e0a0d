"""The HTTP server, and its connections that send nothing."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from rankgrad.deploy.serve.guard import Guard
from rankgrad.deploy.serve.settings import ServerSettings

_EVERY = 0.5
_SLACK = 5.0


def http_server(app: Guard, settings: ServerSettings) -> Server:
    """A uvicorn server of the application, not started."""
    config = Config(
        app,  # type: ignore[arg-type]
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=max(1, round(settings.body_timeout)),
        timeout_graceful_shutdown=round(settings.timeout + _SLACK),
    )
    return Server(config)


async def close_idle(server: Server, *, seconds: float) -> None:
    """Close each connection that has no request under way for ``seconds``: uvicorn waits for a head without end.

    Runs until it is cancelled.
    """
    since: WeakKeyDictionary[H11Protocol, float] = WeakKeyDictionary()
    while True:
        await asyncio.sleep(min(_EVERY, seconds / 2))
        now = time.monotonic()
        for connection in list(server.server_state.connections):
            if not isinstance(connection, H11Protocol):
                continue
            if connection.cycle is not None and not connection.cycle.response_complete:
                since.pop(connection, None)
            elif now - since.setdefault(connection, now) > seconds:
                connection.transport.close()

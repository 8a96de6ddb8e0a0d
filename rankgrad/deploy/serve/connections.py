"""The HTTP server, and its connections that send nothing."""

from __future__ import annotations

import asyncio
import time

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

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
    # Of each idle connection its last request and since when there was no other.
    idle: dict[H11Protocol, tuple[RequestResponseCycle | None, float]] = {}
    while True:
        await asyncio.sleep(min(_EVERY, seconds / 2))
        now, before, idle = time.monotonic(), idle, {}
        for connection in list(server.server_state.connections):
            if not isinstance(connection, H11Protocol):
                continue
            last: RequestResponseCycle | None = connection.cycle
            if last is not None and not last.response_complete:
                continue
            seen, since = before.get(connection, (last, now))
            # Whole requests come and go between two looks.
            idle[connection] = (last, since if seen is last else now)
            if now - idle[connection][1] > seconds:
                connection.transport.close()

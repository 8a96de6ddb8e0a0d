"""Connections that send nothing are closed, and those in use are not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from uvicorn.protocols.http.h11_impl import H11Protocol

from rankgrad.deploy.serve import connections

LIMIT, MINUTE = 10.0, 60.0
ANSWERED, UNDER_WAY = ([SimpleNamespace(response_complete=done) for _ in range(100)] for done in (True, False))


@pytest.mark.parametrize(
    ("last_request", "end"),
    [
        (lambda now: None, LIMIT),
        (lambda now: ANSWERED[0], LIMIT),
        (lambda now: ANSWERED[int(now)], math.inf),
        (lambda now: ANSWERED[int(min(now, 20))], 20 + LIMIT),
        (lambda now: UNDER_WAY[0], math.inf),
        (lambda now: UNDER_WAY[0] if now < 20 else ANSWERED[0], 20 + LIMIT),
    ],
    ids=["silent", "once", "each second", "each second for a while", "a long request", "after a long request"],
)
def test_idle_connections_are_closed(
    monkeypatch: pytest.MonkeyPatch, last_request: Callable[[float], Any], end: float
) -> None:
    """With a clock that ticks as fast as it is asked."""
    now, closed = 0.0, []
    connection: Any = object.__new__(H11Protocol)
    connection.transport = SimpleNamespace(close=lambda: closed.append(now))

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        connection.cycle = last_request(now)
        if closed or now > MINUTE:
            raise asyncio.CancelledError

    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(connections, "asyncio", SimpleNamespace(sleep=sleep))
    server: Any = SimpleNamespace(server_state=SimpleNamespace(connections={connection}))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(connections.close_idle(server, seconds=LIMIT))
    if math.isinf(end):
        assert closed == []
    else:
        assert end <= closed[0] <= end + 1.0

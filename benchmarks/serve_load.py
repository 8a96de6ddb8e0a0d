"""Clients that each send a request, read the answer, and send the next, over a connection that stays open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """When a request was begun, how many milliseconds its answer took, and its status."""

    begin: float
    milliseconds: float
    status: int


def load(port: int, requests: Sequence[dict[str, Any]], *, clients: int, seconds: float) -> list[Reply]:
    """Keep ``clients`` connections busy for ``seconds``; a client told to come again (429) waits 50 ms."""
    packets = [_packet(request) for request in requests]

    async def work() -> list[Reply]:
        until = time.perf_counter() + seconds
        found = await asyncio.gather(*(_client(port, packets, first, until) for first in range(clients)))
        return [reply for replies in found for reply in replies]

    return asyncio.run(work())


async def _client(port: int, packets: Sequence[bytes], first: int, until: float) -> list[Reply]:
    replies: list[Reply] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while (begin := time.perf_counter()) < until:
            writer.write(packets[(first + len(replies)) % len(packets)])
            status = await _status(reader)
            replies.append(Reply(begin, (time.perf_counter() - begin) * 1e3, status))
            if status == 429:
                await asyncio.sleep(0.05)
    finally:
        writer.close()
    return replies


async def _status(reader: asyncio.StreamReader) -> int:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next(line.partition(":")[2] for line in head.split("\r\n") if line.startswith("content-length:"))
    await reader.readexactly(int(length))
    return int(head.split(maxsplit=2)[1])


def _packet(request: dict[str, Any]) -> bytes:
    body = json.dumps(request).encode()
    head = f"POST /rerank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body

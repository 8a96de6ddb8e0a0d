"""Reading a request's body within its limits."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from rankgrad.deploy.serve.errors import RequestError
from rankgrad.deploy.serve.exchange import CLIENT_GONE, Exchange, Receive
from rankgrad.deploy.serve.settings import ServerSettings

_DRAIN_SECONDS = 1.0


async def read_body(exchange: Exchange, receive: Receive, settings: ServerSettings) -> bytes:
    """The whole body, UTF-8.

    Raises:
        RequestError: for another content type (415), a body that is too large (413), comes too slowly (408), is not
            UTF-8 (400) or breaks off (499, which nobody hears).
    """
    _check_head(exchange, settings)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise RequestError(CLIENT_GONE, "client_gone", "the client went away")
                body += message.get("body", b"")
                exchange.bytes_in = len(body)
                if len(body) > settings.max_body_bytes:
                    raise _too_large(settings)
                more = message.get("more_body", False)
    except TimeoutError:
        raise RequestError(
            408,
            "body_timeout",
            f"the body did not arrive within {settings.body_timeout:g} s: send it at once",
            {"Connection": "close"},
        ) from None
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            400, "invalid_encoding", f"the body is not UTF-8 (byte {error.start}): encode it as UTF-8"
        ) from None
    return bytes(body)


async def drain(receive: Receive, settings: ServerSettings) -> None:
    """Take in the rest of a refused body, within bounds: a client that still writes would not read the answer."""
    left = 2 * settings.max_body_bytes
    with suppress(TimeoutError):
        async with asyncio.timeout(min(_DRAIN_SECONDS, settings.body_timeout)):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def _check_head(exchange: Exchange, settings: ServerSettings) -> None:
    kind, *parameters = (
        part.strip() for part in exchange.headers.get(b"content-type", b"").decode("latin-1").lower().split(";")
    )
    charsets = [part.partition("=")[2].strip(' "') for part in parameters if part.startswith("charset=")]
    if kind != "application/json" or any(each not in ("utf-8", "utf8") for each in charsets):
        raise RequestError(
            415, "unsupported_content_type", "the body must be JSON in UTF-8: send Content-Type: application/json"
        )
    if exchange.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise RequestError(415, "unsupported_content_encoding", "compressed bodies are not read: send it as it is")
    length = exchange.headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > settings.max_body_bytes:
        raise _too_large(settings)


def _too_large(settings: ServerSettings) -> RequestError:
    return RequestError(
        413, "body_too_large", f"the body is larger than {settings.max_body_bytes} bytes: send fewer or shorter texts"
    )

"""What a server allows and how it batches."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from rankgrad._checks import InputError


@dataclass(frozen=True)
class ServerSettings:
    """Address, limits and batching of a server.

    Args:
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        api_key: what clients must send as ``Authorization: Bearer KEY``; None lets everyone in.
        max_documents: documents (or texts to embed) of one request.
        max_characters: characters of one document or query.
        max_body_bytes: bytes of a request's body.
        max_requests: requests taken on at once, those that wait included; further ones are told to come again (429).
        timeout: seconds a request may take from its first byte to its last.
        body_timeout: seconds in which the head, and then the body, of a request must arrive.
        drain_delay: seconds for which a server told to stop still takes requests, while ``/health`` says no.
        batching: put the texts of several requests into one run.
        batch_wait: seconds that a run waits for a request which is being read already.
        batch_tokens: tokens after which a run is full; longer requests take turns, a run each.

    Raises:
        InputError: for a limit that lets nothing through, a time without end, or a key that no client can send.

    Example:
        >>> ServerSettings(max_documents=0)
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: max_documents=0: pass more than 0
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_key: str | None = field(default=None, repr=False)
    max_documents: int = 1000
    max_characters: int = 100_000
    max_body_bytes: int = 4 * 2**20
    max_requests: int = 128
    timeout: float = 30.0
    body_timeout: float = 10.0
    drain_delay: float = 0.0
    batching: bool = True
    batch_wait: float = 0.002
    batch_tokens: int = 2048

    def __post_init__(self) -> None:
        times = {"timeout": self.timeout, "body_timeout": self.body_timeout}
        waits = {"batch_wait": self.batch_wait, "drain_delay": self.drain_delay}
        limits = times | {
            "max_documents": self.max_documents,
            "max_characters": self.max_characters,
            "max_body_bytes": self.max_body_bytes,
            "max_requests": self.max_requests,
            "batch_tokens": self.batch_tokens,
        }
        for name, value in limits.items():
            if not value > 0:
                raise InputError(f"{name}={value}: pass more than 0")
        for name, value in waits.items():
            if not value >= 0:
                raise InputError(f"{name}={value}: pass at least 0")
        for name, value in (times | waits).items():
            if value > threading.TIMEOUT_MAX:
                raise InputError(f"{name}={value}: pass at most {threading.TIMEOUT_MAX:g} seconds")
        if not 0 <= self.port < 2**16:
            raise InputError(f"port={self.port}: pass a number from 0 to 65535")
        if self.api_key is not None and not self.api_key.strip():
            raise InputError("api_key is empty: pass a key, or None to let everyone in")
        if self.api_key is not None and self.api_key != self.api_key.strip():
            raise InputError("api_key has white space around it, which no client can send: pass it without")

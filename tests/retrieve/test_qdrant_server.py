"""A Qdrant that is busy, silent or not there."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import QdrantRetriever

pytest.importorskip("qdrant_client", reason="the extra qdrant")

TEXTS, QUERIES = ["cat", "a dog"], ["cat"]


class Dense:
    """One vector a text; counts what it encodes."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(texts), 2)

    def encode_documents(self, texts: Sequence[str]) -> torch.Tensor:
        self.seen += texts
        return torch.ones(len(texts), 2)


class Answers(BaseHTTPRequestHandler):
    """Says 503 for the first requests, then that there is no such collection."""

    asked = 0
    refused = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        busy = self.asked <= self.refused
        body = json.dumps({"status": "ok", "time": 0.0, "result": {"exists": False}}).encode()
        self.send_response(503 if busy else 200)
        self.send_header("Content-Length", str(0 if busy else len(body)))
        self.end_headers()
        self.wfile.write(b"" if busy else body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Callable[[int], str]]:
    """A server that refuses so many requests."""
    made = HTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=made.serve_forever, daemon=True).start()

    def refusing(requests: int) -> str:
        Answers.asked, Answers.refused = 0, requests
        return f"http://127.0.0.1:{made.server_port}"

    yield refusing
    made.shutdown()
    made.server_close()


def test_a_busy_server_is_asked_again(server: Callable[[int], str]) -> None:
    retriever = QdrantRetriever(Dense(), location=server(2), wait=0.01)
    with pytest.raises(InputError, match="there is no collection 'documents' yet"):
        retriever(QUERIES, 1)
    assert Answers.asked == 3


def test_a_server_that_stays_silent(server: Callable[[int], str]) -> None:
    encoder = Dense()
    retriever = QdrantRetriever(encoder, TEXTS, location=server(99), attempts=3, wait=0.01)
    with pytest.raises(InputError, match=r"did not answer in 3 tries .*503.*the same call goes on where"):
        retriever.index()
    assert (Answers.asked, encoder.seen) == (3, [])


def test_nothing_listens_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(InputError, match=r"did not answer in 2 tries .*refused.*is it running there\?"):
            QdrantRetriever(Dense(), TEXTS, location=place, attempts=2, wait=0.01)(QUERIES, 1)

"""A bad request gets a clear answer, and the next one is served."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

JSON = {"Content-Type": "application/json"}
GOOD = {"query": "sort", "documents": ["a key", "a date"]}
UTF16 = {"Content-Type": "application/json; charset=utf-16"}
REFUSED: dict[str, tuple[bytes | dict[str, Any], dict[str, str], tuple[int, str], str]] = {
    "no content type": (GOOD, {}, (415, "unsupported_content_type"), "Content-Type: application/json"),
    "a form": (b"query=a", {"Content-Type": "text/plain"}, (415, "unsupported_content_type"), "must be JSON"),
    "another charset": (GOOD, UTF16, (415, "unsupported_content_type"), "UTF-8"),
    "compressed": (b"", JSON | {"Content-Encoding": "gzip"}, (415, "unsupported_content_encoding"), "as it is"),
    "no JSON": (b'{"query": 3', JSON, (400, "invalid_json"), "character 11"),
    "nothing": (b"", JSON, (422, "invalid_request"), "required"),
    "not UTF-8": (b'{"query": "\xff\xfe"}', JSON, (400, "invalid_encoding"), "byte 11"),
    "deep": (b"[" * 200_000, JSON, (400, "invalid_json"), "no JSON"),
    "an array": (b"[1]", JSON, (422, "invalid_request"), "valid dictionary"),
    "no query": ({"documents": ["a"]}, JSON, (422, "invalid_request"), "query: Field required"),
    "a number as query": (GOOD | {"query": 3}, JSON, (422, "invalid_request"), "query: Input should be"),
    "a blank query": (GOOD | {"query": " \n"}, JSON, (422, "invalid_request"), "query: it is empty"),
    "no documents": (GOOD | {"documents": []}, JSON, (422, "invalid_request"), "at least 1 item"),
    "a string of documents": (GOOD | {"documents": "a"}, JSON, (422, "invalid_request"), "documents: Input should"),
    "a blank document": (GOOD | {"documents": ["a", ""]}, JSON, (422, "invalid_request"), "documents.1: it is empty"),
    "null as document": (GOOD | {"documents": ["a", None]}, JSON, (422, "invalid_request"), "documents.1"),
    "an object without text": (GOOD | {"documents": [{"a": "b"}]}, JSON, (422, "invalid_request"), "documents.0"),
    "half a character": (GOOD | {"documents": ["a\ud800"]}, JSON, (422, "invalid_request"), "character 1 is half"),
    "top_n of 0": (GOOD | {"top_n": 0}, JSON, (422, "invalid_request"), "top_n"),
    "top_n as text": (GOOD | {"top_n": "2"}, JSON, (422, "invalid_request"), "top_n"),
    "a huge number": (b'{"top_n": ' + b"9" * 5000 + b"}", JSON, (400, "invalid_json"), "no JSON"),
    "100,000 documents": (GOOD | {"documents": ["a"] * 100_000}, JSON, (413, "too_many_documents"), "100000 are more"),
    "a long document": (GOOD | {"documents": ["a" * 5000]}, JSON, (413, "text_too_long"), "documents.0: 5000 char"),
    "a long query": (GOOD | {"query": "a" * 5000}, JSON, (413, "text_too_long"), "query: 5000 characters"),
    "a large body": (b" " * 2_000_000, JSON, (413, "body_too_large"), "larger than 1000000 bytes"),
}


class Gate:
    """A graph whose runs wait until the gate is open."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Semaphore(0)

    def batches(self, tokens: Any) -> Iterator[Any]:
        self.entered.release()
        assert self.open.wait(10)
        yield from self.graph.batches(tokens)


@pytest.fixture(scope="module")
def client(serve: Callable[..., Any]) -> Iterator[Any]:
    with serve("interaction", max_documents=100, max_characters=4000, max_body_bytes=1_000_000) as client:
        yield client


@contextmanager
def gated_server(serve: Callable[..., Any], **settings: float) -> Iterator[tuple[Any, Gate]]:
    """A server for two requests at once whose runs wait."""
    gates: list[Gate] = []

    def graph(original: Any) -> Gate:
        gates.append(Gate(original))
        return gates[0]

    with serve("interaction", graph=graph, max_requests=2, **settings) as client:
        gates[0].open.clear()
        gates[0].entered = threading.Semaphore(0)
        try:
            yield client, gates[0]
        finally:
            gates[0].open.set()


@pytest.fixture
def gated(serve: Callable[..., Any]) -> Iterator[tuple[Any, Gate]]:
    """One that waits long for everything."""
    with gated_server(serve) as found:
        yield found


def healthy(client: Any) -> bool:
    return client.post("/rerank", GOOD).status == 200 == client.get("/health").status


@pytest.mark.parametrize("name", REFUSED)
def test_refused(client: Any, name: str) -> None:
    content, headers, error, message = REFUSED[name]
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    answer = client.send("POST", "/rerank", body, headers)
    assert answer.error == error
    assert message in answer.json["error"]["message"]
    assert answer.headers["content-type"] == "application/json"
    assert healthy(client)


def test_wrong_paths_and_methods(client: Any) -> None:
    assert client.get("/nowhere").error == (404, "not_found")
    assert client.post("/nowhere", GOOD).error == (404, "not_found")
    answer = client.get("/rerank")
    assert (answer.error, answer.headers["allow"]) == ((405, "method_not_allowed"), "POST")
    answer = client.post("/embed", {"input": ["a"]})
    assert answer.error == (404, "not_found")
    assert "ColBERT" in answer.json["error"]["message"]


def test_a_body_without_a_length_is_counted(client: Any) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        head = (
            "POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        chunk = b"%x\r\n%s\r\n" % (400_000, b" " * 400_000)
        connection.sendall(head.encode() + 3 * chunk + b"0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 413"
    assert healthy(client)


def test_what_is_no_http_is_refused(client: Any) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        assert b"400" in connection.recv(100)
    assert healthy(client)


def test_a_key_is_asked_for_everywhere_but_at_health(serve: Callable[..., Any]) -> None:
    with serve("interaction", api_key="s3cret") as client:
        for key in (None, "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer \xff"):
            answer = client.post("/rerank", GOOD, **({} if key is None else {"Authorization": key}))
            assert answer.error == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert client.post("/rerank", GOOD, Authorization="Bearer s3cret").status == 200
        assert client.get("/metrics").status == client.get("/openapi.json").status == 401
        assert client.get("/metrics", Authorization="bearer s3cret").status == 200
        assert client.get("/health").status == 200


def test_too_many_requests_are_told_to_come_again(gated: tuple[Any, Gate]) -> None:
    client, gate = gated
    with ThreadPoolExecutor(2) as pool:
        first = [pool.submit(client.post, "/rerank", GOOD) for _ in range(2)]
        assert gate.entered.acquire(timeout=10)
        until = time.monotonic() + 10
        while b"in_progress 2.0" not in client.get("/metrics").content:
            assert time.monotonic() < until
        answer = client.post("/rerank", GOOD)
        assert (answer.error, answer.headers["retry-after"]) == ((429, "busy"), "1")
        assert client.get("/health").status == 200
        gate.open.set()
        assert [each.result().status for each in first] == [200, 200]
    assert healthy(client)


def test_a_request_that_takes_too_long(serve: Callable[..., Any]) -> None:
    with gated_server(serve, timeout=1.5) as (client, gate):
        begin = time.monotonic()
        assert client.post("/rerank", GOOD).error == (504, "timeout")
        assert time.monotonic() - begin > 1.4
        gate.open.set()
        assert healthy(client)


def test_a_body_that_does_not_come(serve: Callable[..., Any]) -> None:
    with gated_server(serve, body_timeout=1.0) as (client, gate):
        gate.open.set()
        with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
            connection.sendall(
                b"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
            )
            assert connection.recv(12) == b"HTTP/1.1 408"
        assert healthy(client)


def test_a_client_that_goes_away_frees_its_place(gated: tuple[Any, Gate]) -> None:
    client, gate = gated
    body = json.dumps(GOOD)
    head = f"POST /rerank HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    for _ in range(2):
        connection = socket.create_connection(("127.0.0.1", client.port), timeout=10)
        connection.sendall((head + body).encode())
        if _ == 0:
            assert gate.entered.acquire(timeout=10)
        connection.close()
    until = time.monotonic() + 10
    while b'path="/rerank",status="499"} 2.0' not in client.get("/metrics").content:
        assert time.monotonic() < until
    assert b"in_progress 0.0" in client.get("/metrics").content
    gate.open.set()
    assert healthy(client)


def test_a_fault_of_ours_is_told_and_the_server_stays(
    serve: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Gate):
        def batches(self, tokens: Any) -> Iterator[Any]:
            if len(tokens.input_ids) == 3:
                raise RuntimeError("secret text")
            yield from self.graph.batches(tokens)

    with serve("interaction", graph=Broken) as client:
        assert client.post("/rerank", GOOD | {"documents": ["a", "b", "c"]}).error == (500, "internal_error")
        assert healthy(client)
    faults = [record for record in caplog.records if record.getMessage() == "fault"]
    assert [record.__dict__["fields"]["error"] for record in faults] == ["RuntimeError"]
    assert "secret text" not in "".join(str(record.__dict__["fields"]) for record in faults)

"""A server in a thread, and a client that sends what it is told to, valid or not."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from tokenizers import Tokenizer

from rankgrad import deploy
from rankgrad.prompts import PromptTemplate, PromptTokenizer

JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def error(self) -> tuple[int, str]:
        """Status and type of an error in the one shape that errors have."""
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"type", "message"}
        return self.status, self.json["error"]["type"]


class Client(NamedTuple):
    """Talks to a port of this machine, a connection a request."""

    port: int

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, path: str, content: Any, **headers: str) -> Answer:
        return self.send("POST", path, json.dumps(content).encode(), JSON | headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, None, headers)


@contextmanager
def serving(model: Any, **settings: Any) -> Iterator[Client]:
    """Serve a model in a thread."""
    from rankgrad.deploy.serve import ServerSettings
    from rankgrad.deploy.serve.app import Served, create_app
    from rankgrad.deploy.serve.connections import http_server

    made = ServerSettings(port=0, **settings)
    server = http_server(create_app(model, made, Served("tiny", "fp32")), made)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.005)
        yield Client(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


class Means:
    """In place of a decoder's graph, whose export takes seconds: a row's logit is the mean of its ids, made small."""

    def batches(self, tokens: Any, *, batch_size: int | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        means = (tokens.input_ids * tokens.attention_mask).sum(axis=1) / tokens.lengths
        yield np.arange(len(means)), (means[:, None] / 50 - 2).astype(np.float32)


@pytest.fixture(scope="session")
def opened(tiny_bundle: Callable[[str], Path], tiny_encoder_folder: Path) -> Callable[[str], Any]:
    """Opens a tiny bundle anew; ``weighed`` is a ColBERT with weights of tokens, ``causal`` a reranker without a graph
    file."""

    def open_kind(kind: str) -> Any:
        if kind == "causal":
            template = PromptTemplate(before="a", body="{query} {document}", after="b", instruction="")
            words = Tokenizer.from_file(str(tiny_encoder_folder / "tokenizer.json"))
            graph: Any = Means()
            return deploy.CausalReranker(graph, PromptTokenizer(words, template, max_length=48, query_length=12))
        model: Any = deploy.load(tiny_bundle("colbert" if kind == "weighed" else kind), threads=1)
        if kind == "weighed":
            width = model.tokenizer.tokenizer.get_vocab_size()
            model.query_weights = np.random.default_rng(0).uniform(0, 3, width).astype(np.float32)
        return model

    return open_kind


@pytest.fixture(scope="session")
def serve(opened: Callable[[str], Any]) -> Callable[..., Any]:
    """Serve a model that ``opened`` gives, its graph run by ``graph(original)`` where that is given."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")

    @contextmanager
    def serve(kind: str, *, graph: Callable[[Any], Any] | None = None, **settings: Any) -> Iterator[Client]:
        model = opened(kind)
        if graph is not None:
            model.graph = graph(model.graph)
        with serving(model, **settings) as client:
            yield client

    return serve

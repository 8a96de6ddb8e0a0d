"""The server says what the bundle says, in the shapes that clients of other servers know."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rankgrad import deploy

QUERY = "sort a dictionary"
DOCUMENTS = ["open a file", "sort the values of a dictionary by key", "a date", "open a file"]
KINDS = {"interaction": "cross_encoder", "causal": "causal_reranker", "colbert": "colbert", "weighed": "colbert"}


@pytest.fixture(scope="module")
def clients(serve: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    with ExitStack() as servers:
        yield {kind: servers.enter_context(serve(kind)) for kind in KINDS}


def expected(model: Any, query: str = QUERY, documents: list[str] = DOCUMENTS) -> tuple[list[int], list[float], Any]:
    """Order, scores, and the fixed scale that the documentation promises."""
    results = model.rerank(query, documents)
    raw = np.array([result.score for result in results])
    if isinstance(model, deploy.ColBERT):
        # Embeddings have unit length, so that what is longer or shorter is weighed.
        fixed = raw / np.linalg.norm(model.encode_queries([query])[0], axis=-1).sum()
    else:
        fixed = 1 / (1 + np.exp(-raw))
    return [result.index for result in results], raw.tolist(), fixed.tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("path", "version"), [("/rerank", "1"), ("/v1/rerank", "1"), ("/v2/rerank", "2")])
def test_cohere_and_jina(
    clients: dict[str, Any], opened: Callable[[str], Any], kind: str, path: str, version: str
) -> None:
    order, raw, fixed = expected(opened(kind))
    request = {"query": QUERY, "documents": [DOCUMENTS[0], {"text": DOCUMENTS[1], "id": 7}, *DOCUMENTS[2:]]}
    answer = clients[kind].post(path, request).json
    assert [each["index"] for each in answer["results"]] == order
    assert [each["relevance_score"] for each in answer["results"]] == pytest.approx(fixed, abs=1e-5)
    assert all(each.keys() == {"index", "relevance_score"} for each in answer["results"])
    assert answer["meta"]["api_version"]["version"] == version
    assert answer["model"] == "tiny"
    assert answer["usage"]["total_tokens"] > 0
    more = {"top_n": 2, "return_documents": True, "raw_scores": True, "model": "rerank-v3.5", "rank_fields": ["x"]}
    best = clients[kind].post(path, request | more).json["results"]
    assert [each["document"]["text"] for each in best] == [DOCUMENTS[index] for index in order[:2]]
    assert [each["relevance_score"] for each in best] == pytest.approx(raw[:2], abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_text_embeddings_inference(clients: dict[str, Any], opened: Callable[[str], Any], kind: str) -> None:
    order, raw, fixed = expected(opened(kind))
    request = {"query": QUERY, "texts": DOCUMENTS, "truncate": True}
    ranks = clients[kind].post("/tei/rerank", request).json
    assert [each["index"] for each in ranks] == order
    assert [each["score"] for each in ranks] == pytest.approx(fixed, abs=1e-5)
    ranks = clients[kind].post("/tei/rerank", request | {"raw_scores": True, "return_text": True}).json
    assert [each["score"] for each in ranks] == pytest.approx(raw, abs=1e-4)
    assert [each["text"] for each in ranks] == [DOCUMENTS[index] for index in order]


def test_more_results_than_documents_are_all(clients: dict[str, Any]) -> None:
    for top_n in (9, 9.0, 1e300):
        answer = clients["interaction"].post("/rerank", {"query": "a", "documents": ["b"], "top_n": top_n})
        assert [each["index"] for each in answer.json["results"]] == [0]


@pytest.mark.parametrize(("weight", "lowest", "relevance"), [(None, -12.0, -1.0), (0.5, -6.0, -1.0), (0.0, 0.0, 0.0)])
def test_a_document_without_scored_tokens_has_the_lowest_score(
    opened: Callable[[str], Any], weight: float | None, lowest: float, relevance: float
) -> None:
    from rankgrad.deploy.serve.batching import Batcher
    from rankgrad.deploy.serve.engines import LateEngine

    model = opened("colbert")
    if weight is not None:
        model.query_weights = np.full(model.tokenizer.tokenizer.get_vocab_size(), weight, dtype=np.float32)
    rules = replace(model.tokenizer.rules, skip_words=("[CLS]", "[SEP]", "[D]", "?", "!"))
    model.tokenizer = replace(model.tokenizer, rules=rules)
    batcher = Batcher(model.graph, pad_id=model.tokenizer.pad_id)
    batcher.start()
    scores = asyncio.run(LateEngine(model, batcher).score("sort", ["?!", "a key"]))
    batcher.close()
    assert (scores.raw[0], scores.relevance[0]) == (lowest, relevance)
    assert -1.0 < scores.relevance[1] < 1.0


@pytest.mark.parametrize("kind", ["colbert", "weighed"])
@pytest.mark.parametrize("input_type", ["query", "document"])
def test_embed(clients: dict[str, Any], opened: Callable[[str], Any], kind: str, input_type: str) -> None:
    model = opened(kind)
    texts = [QUERY, *DOCUMENTS]
    if input_type == "query":
        embeddings, mask = model.encode_queries(texts)
        wanted = [rows[real] for rows, real in zip(embeddings, mask, strict=True)]
    else:
        packed = model.encode_documents(texts)
        wanted = np.split(packed.embeddings, packed.cu_seqlens[1:-1])
    request = {"input": texts, "input_type": input_type}
    answer = clients[kind].post("/embed", request).json
    coded = clients[kind].post("/embed", request | {"encoding_format": "base64"}).json
    assert answer["dim"] == model.dim
    for place, rows in enumerate(wanted):
        found, same = answer["data"][place], coded["data"][place]
        assert (found["index"], found["tokens"]) == (place, len(rows))
        np.testing.assert_allclose(found["embeddings"], rows, atol=1e-5)
        decoded = np.frombuffer(base64.b64decode(same["embeddings"]), dtype="<f4").reshape(-1, model.dim)
        np.testing.assert_allclose(decoded, rows, atol=1e-5)


def test_many_clients_at_once_get_their_own_answers(clients: dict[str, Any], opened: Callable[[str], Any]) -> None:
    model = opened("interaction")
    requests = [(f"sort {place}", [f"a file {place} {other}" for other in range(1 + place % 5)]) for place in range(40)]

    def ask(request: tuple[str, list[str]]) -> list[float]:
        body = {"query": request[0], "texts": request[1], "raw_scores": True}
        ranks = clients["interaction"].post("/tei/rerank", body).json
        return [each["score"] for each in sorted(ranks, key=lambda each: each["index"])]

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, requests))
    for (query, documents), scores in zip(requests, answers, strict=True):
        assert scores == pytest.approx(model.score([query] * len(documents), documents).tolist(), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_well_and_described(clients: dict[str, Any], kind: str) -> None:
    answer = clients[kind].get("/health")
    assert answer.status == 200
    assert {"status": "ready", "kind": KINDS[kind], "model": "tiny"}.items() <= answer.json.items()
    document = clients[kind].get("/openapi.json").json
    assert KINDS[kind] in document["components"]["schemas"]["Health"]["properties"]["kind"]["enum"]
    assert ("/embed" in document["paths"]) == (KINDS[kind] == "colbert")


def test_metrics_and_the_openapi_document(clients: dict[str, Any]) -> None:
    client = clients["colbert"]
    client.post("/rerank", {"query": "a", "documents": []})
    client.get("/secret-path")
    metrics = client.get("/metrics").content.decode()
    assert 'rankgrad_requests_total{path="/rerank",status="422"}' in metrics
    assert 'rankgrad_requests_total{path="other",status="404"}' in metrics
    assert "rankgrad_run_requests_bucket" in metrics
    assert "secret-path" not in metrics
    document = client.get("/openapi.json").json
    assert {"/rerank", "/v1/rerank", "/v2/rerank", "/tei/rerank", "/embed", "/health"} <= document["paths"].keys()
    refusal = document["paths"]["/rerank"]["post"]["responses"]["422"]["content"]["application/json"]["schema"]
    assert refusal["$ref"].endswith("/ErrorBody")


def test_the_log_has_numbers_and_no_texts(clients: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="rankgrad.serve")
    request = {"query": "zebra", "documents": ["quagga", "okapi"]}
    answer = clients["interaction"].post("/rerank", request, **{"X-Request-Id": "my-id.7"})
    clients["interaction"].post("/rerank", request | {"top_n": "zebra"})
    clients["interaction"].get("/zebra?zebra")
    assert answer.headers["x-request-id"] == answer.json["id"] == "my-id.7"
    mine: list[Any] = []
    until = time.monotonic() + 10
    while len(mine) < 3:
        assert time.monotonic() < until
        mine = [
            each for each in caplog.records if each.name == "rankgrad.serve" and "openapi" not in each.fields["path"]
        ]  # type: ignore[attr-defined]
    assert [record.fields["status"] for record in mine] == [200, 422, 404]
    first = mine[0].fields
    assert first | {"id": "my-id.7", "path": "/rerank", "documents": 2, "bytes": len(json.dumps(request))} == first
    assert first["ms"] > 0 < first["tokens"]
    written = "".join(record.getMessage() + json.dumps(record.fields) for record in mine)
    assert not any(word in written for word in ("zebra", "quagga", "okapi"))

"""Requests that schemathesis makes of the OpenAPI document: no answer is outside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
hypothesis = pytest.importorskip("hypothesis")

REQUESTS = 40
KINDS = ("interaction", "colbert")


@pytest.fixture(scope="module", params=KINDS)
def client(serve: Callable[..., Any], request: pytest.FixtureRequest) -> Iterator[Any]:
    with serve(request.param) as client:
        yield client


def test_no_answer_is_outside_of_the_schema(client: Any) -> None:
    schema = schemathesis.openapi.from_url(f"http://127.0.0.1:{client.port}/openapi.json")
    paths = set()
    for result in schema.get_all_operations():
        operation = result.ok()
        paths.add(operation.path)
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @hypothesis.settings(
                max_examples=REQUESTS, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def conforms(case: Any) -> None:
                case.call_and_validate()

            if mode is schemathesis.GenerationMode.POSITIVE or operation.body:
                conforms()
    assert {"/rerank", "/v1/rerank", "/v2/rerank", "/tei/rerank", "/health", "/metrics"} <= paths
    assert client.get("/health").status == 200

"""The paths that rerank and embed."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from rankgrad.deploy.serve.engines import LateEngine, PairEngine
from rankgrad.deploy.serve.exchange import Exchange
from rankgrad.deploy.serve.guard import EXCHANGE
from rankgrad.deploy.serve.limits import check_texts_of
from rankgrad.deploy.serve.schemas import (
    ApiVersion,
    EmbedRequest,
    EmbedResponse,
    ErrorBody,
    Meta,
    RerankRequest,
    RerankResponse,
    RerankResult,
    TeiRank,
    TeiRanks,
    TeiRerankRequest,
    TextDocument,
    Usage,
)
from rankgrad.deploy.serve.settings import ServerSettings

RERANK = {"/rerank": "1", "/v1/rerank": "1", "/v2/rerank": "2"}
TEI_RERANK = "/tei/rerank"
EMBED = "/embed"
WORKING = (*RERANK, TEI_RERANK, EMBED)
_REFUSALS = {
    400: "no JSON, or not UTF-8",
    401: "the API key is missing or wrong",
    408: "the body came too slowly",
    413: "too many texts, too long texts, or too large a body",
    415: "the body is no JSON by its Content-Type",
    422: "a field is missing or cannot be used",
    429: "busy: come again after the seconds in Retry-After",
    500: "a fault of the server",
    504: "the request took too long",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorBody, "description": text} for status, text in _REFUSALS.items()
}


def rerank_routes(engine: PairEngine | LateEngine, settings: ServerSettings, *, name: str) -> APIRouter:
    """Cohere's and Jina's rerank, and that of text-embeddings-inference."""
    router = APIRouter(responses=REFUSALS, tags=["rerank"])

    async def rerank(body: RerankRequest, request: Request) -> Response:
        texts = [each if isinstance(each, str) else each.text for each in body.documents]
        exchange = _note(request, texts)
        check_texts_of(settings, query=body.query, documents=texts)
        scores = await engine.score(body.query, texts)
        exchange.tokens = scores.tokens
        values = scores.raw if body.raw_scores else scores.relevance
        results = [
            RerankResult(
                index=row,
                relevance_score=float(values[row]),
                document=TextDocument(text=texts[row]) if body.return_documents else None,
            )
            for row in _best(scores.raw, body.top_n)
        ]
        meta = Meta(api_version=ApiVersion(version=RERANK[exchange.path]))
        usage = Usage(total_tokens=scores.tokens)
        found = RerankResponse(id=exchange.id, model=name, results=results, usage=usage, meta=meta)
        return _answer(found.model_dump_json(exclude_none=True))

    async def tei_rerank(body: TeiRerankRequest, request: Request) -> Response:
        exchange = _note(request, body.texts)
        check_texts_of(settings, query=body.query, documents=body.texts, what="texts")
        scores = await engine.score(body.query, body.texts)
        exchange.tokens = scores.tokens
        values = scores.raw if body.raw_scores else scores.relevance
        ranks = [
            TeiRank(index=row, score=float(values[row]), text=body.texts[row] if body.return_text else None)
            for row in _best(scores.raw, None)
        ]
        return _answer(TeiRanks(ranks).model_dump_json(exclude_none=True))

    for path, version in RERANK.items():
        router.add_api_route(
            path,
            rerank,
            methods=["POST"],
            response_model=RerankResponse,
            summary=f"Put documents in order for a query (Cohere v{version}{', Jina' if version == '1' else ''})",
            operation_id=f"rerank{path.replace('/', '_')}",
        )
    router.add_api_route(
        TEI_RERANK,
        tei_rerank,
        methods=["POST"],
        response_model=TeiRanks,
        summary="Put texts in order for a query (text-embeddings-inference)",
    )
    return router


def embed_routes(engine: LateEngine, settings: ServerSettings, *, name: str) -> APIRouter:
    """Token embeddings of a ColBERT."""
    router = APIRouter(responses=REFUSALS, tags=["embed"])

    async def embed(body: EmbedRequest, request: Request) -> Response:
        exchange = _note(request, body.input)
        check_texts_of(settings, query=None, documents=body.input, what="input")
        found, exchange.tokens = await engine.embed(body.input, queries=body.input_type == "query")
        write = _base64 if body.encoding_format == "base64" else np.ndarray.tolist

        def written() -> str:
            data = [{"index": row, "tokens": len(each), "embeddings": write(each)} for row, each in enumerate(found)]
            usage = {"total_tokens": exchange.tokens}
            return json.dumps({"model": name, "dim": engine.model.dim, "data": data, "usage": usage})

        return _answer(await run_in_threadpool(written))

    router.add_api_route(
        EMBED, embed, methods=["POST"], response_model=EmbedResponse, summary="Encode texts, one vector a token"
    )
    return router


def _note(request: Request, texts: Sequence[str]) -> Exchange:
    """The request's exchange, with its documents counted."""
    exchange: Exchange = request.scope[EXCHANGE]
    exchange.documents = len(texts)
    return exchange


def _best(scores: np.ndarray, count: int | None) -> list[int]:
    """Rows by score, of equal ones the lowest first; all where there are fewer than ``count``."""
    return np.argsort(-scores, kind="stable")[:count].tolist()


def _base64(rows: np.ndarray) -> str:
    return base64.b64encode(rows.astype("<f4").tobytes()).decode()


def _answer(content: str) -> Response:
    return Response(content, media_type="application/json")

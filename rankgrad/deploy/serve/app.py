"""The application: every path, its errors, its start and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from rankgrad import __version__
from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert import ColBERT
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.serve.batching import Batcher
from rankgrad.deploy.serve.engines import LateEngine, PairEngine
from rankgrad.deploy.serve.errors import RequestError, internal_error
from rankgrad.deploy.serve.guard import HEALTH, Guard
from rankgrad.deploy.serve.metrics import Metrics
from rankgrad.deploy.serve.routes import EMBED, WORKING, embed_routes, rerank_routes
from rankgrad.deploy.serve.schemas import ErrorBody, Health, Kind
from rankgrad.deploy.serve.settings import ServerSettings

METRICS = "/metrics"
OPENAPI = "/openapi.json"


@dataclass
class Served:
    """What a server says of itself: the bundle's name and variant, and whether it is about to stop."""

    name: str
    variant: str
    draining: bool = False


def create_app(
    model: CrossEncoder | CausalReranker | ColBERT,
    settings: ServerSettings,
    served: Served,
    *,
    on_start: Callable[[], None] = lambda: None,
) -> Guard:
    """The ASGI application of a model.

    Args:
        model: what :func:`rankgrad.deploy.load` gave.
        settings: limits and batching.
        served: what ``/health`` says; set ``draining`` to have it say no.
        on_start: called when the first request can come.
    """
    metrics = Metrics()
    batcher = Batcher(
        model.graph,
        pad_id=model.tokenizer.pad_id,
        tokens=settings.batch_tokens,
        wait=settings.batch_wait,
        together=settings.batching,
        whole=isinstance(model, CrossEncoder) and model.listwise,
        on_run=metrics.run,
    )
    engine = LateEngine(model, batcher) if isinstance(model, ColBERT) else PairEngine(model, batcher)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batcher.start()
        await engine.score("a first run", ["that no request waits for"])
        on_start()
        yield
        batcher.close()

    app = FastAPI(
        title="rankgrad",
        version=__version__,
        summary=f"Reranking with {served.name}, a {engine.kind} bundle",
        lifespan=lifespan,
        openapi_url=OPENAPI,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[] if settings.api_key is None else [Depends(HTTPBearer(auto_error=False))],
    )
    app.include_router(rerank_routes(engine, settings, name=served.name))
    if isinstance(engine, LateEngine):
        app.include_router(embed_routes(engine, settings, name=served.name))
    _add_status(app, served, metrics, kind=engine.kind)
    _add_errors(app)
    return Guard(app, settings=settings, metrics=metrics, working=WORKING, known=(*WORKING, HEALTH, METRICS, OPENAPI))


def _add_status(app: FastAPI, served: Served, metrics: Metrics, *, kind: Kind) -> None:
    @app.get(HEALTH, response_model=Health, responses={503: {"model": Health}}, tags=["status"])
    async def health() -> Response:
        """Is the server ready? Status 503 while it is about to stop."""
        found = Health(
            status="draining" if served.draining else "ready",
            model=served.name,
            kind=kind,
            variant=served.variant,
            version=__version__,
        )
        status = 503 if served.draining else 200
        return Response(found.model_dump_json(), status_code=status, media_type="application/json")

    @app.get(
        METRICS,
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, 401: {"model": ErrorBody}},
        tags=["status"],
    )
    async def prometheus() -> Response:
        """Counts and times for Prometheus."""
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _add_errors(app: FastAPI) -> None:
    """Every error as one JSON shape."""

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: RequestError) -> Response:
        return _response(error)

    @app.exception_handler(HTTPException)
    async def wrong_path(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == 404 and request.url.path == EMBED:
            return _response(RequestError(404, "not_found", f"{EMBED} needs a ColBERT bundle; this one scores pairs"))
        kinds = {404: ("not_found", f"no such path; see {OPENAPI}"), 405: ("method_not_allowed", "another method")}
        kind, message = kinds.get(error.status_code, ("invalid_json", "the body is no JSON that can be read"))
        if error.status_code == 405:
            message = f"this path takes {headers.get('Allow', 'another method')} only"
        return _response(RequestError(error.status_code, kind, message, headers))

    @app.exception_handler(RequestValidationError)
    async def wrong_body(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            reason = first.get("ctx", {}).get("error", "")
            return _response(
                RequestError(400, "invalid_json", f"the body is no JSON ({reason} at character {first['loc'][-1]})")
            )
        where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return _response(RequestError(422, "invalid_request", f"{where}: {first['msg']}"))

    @app.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:
        return _response(internal_error())


def _response(error: RequestError) -> Response:
    return Response(error.body, status_code=error.status, headers=error.headers, media_type="application/json")

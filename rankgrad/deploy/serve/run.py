"""Starting a server, and stopping it without losing a request."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from pathlib import Path

from rankgrad._checks import InputError, require
from rankgrad.deploy.bundle import Variant, load
from rankgrad.deploy.causal_reranker import CausalReranker
from rankgrad.deploy.colbert import ColBERT
from rankgrad.deploy.cross_encoder import CrossEncoder
from rankgrad.deploy.feature_ranker import FeatureRanker
from rankgrad.deploy.serve.settings import ServerSettings

EXTRA = "serve"


def run_server(
    bundle: str | Path,
    settings: ServerSettings | None = None,
    *,
    variant: Variant = "fp32",
    threads: int | None = None,
) -> int:
    """Serve a bundle until SIGTERM or Ctrl-C; requests under way are answered before the end.

    Args:
        bundle: folder that ``rankgrad export`` wrote.
        settings: address and limits; None takes the defaults.
        variant: as for :func:`rankgrad.deploy.load`.
        threads: as for :func:`rankgrad.deploy.load`.

    Returns:
        0 when it was stopped, 1 when it could not start (the log says why).

    Raises:
        InputError: for a bundle that cannot be used, or that reads no texts.
        MissingExtraError: without fastapi, uvicorn, prometheus_client, onnxruntime or tokenizers.
    """
    for module in ("fastapi", "uvicorn", "prometheus_client"):
        require(module, EXTRA)
    model = load(bundle, variant=variant, threads=threads)
    if isinstance(model, FeatureRanker):
        raise InputError(f"{bundle} holds a feature ranker, which reads no texts: score rows with rankgrad.deploy")
    if not isinstance(model, CrossEncoder | CausalReranker | ColBERT):
        raise InputError(
            f"{bundle} holds a {type(model).__name__}, which is not served: rank with rankgrad.deploy, or serve a "
            "cross-encoder, causal reranker or ColBERT"
        )
    from rankgrad.deploy.serve.app import Served, create_app
    from rankgrad.deploy.serve.connections import close_idle, http_server
    from rankgrad.deploy.serve.logs import event, log_json

    settings = settings or ServerSettings()
    served = Served(Path(bundle).resolve().name, variant)
    log_json()
    stopping = asyncio.Event()

    def started() -> None:
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            # Windows has no handlers in a loop, and uvicorn's own stay.
            with suppress(NotImplementedError):
                loop.add_signal_handler(each, stopping.set)

    app = create_app(model, settings, served, on_start=started)

    async def serve() -> bool:
        server = http_server(app, settings)

        async def stop() -> None:
            await stopping.wait()
            served.draining = True
            event("draining", seconds=settings.drain_delay)
            await asyncio.sleep(settings.drain_delay)
            server.should_exit = True

        async def say() -> None:
            while not server.started:
                await asyncio.sleep(0.01)
            names = [socket.getsockname() for each in server.servers for socket in each.sockets]
            event("listening", host=names[0][0], port=names[0][1], model=served.name, variant=variant)

        beside = [
            asyncio.create_task(each) for each in (stop(), say(), close_idle(server, seconds=settings.body_timeout))
        ]
        try:
            await server.serve()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        return server.started

    try:
        ran = asyncio.run(serve())
    except SystemExit:  # uvicorn's way to say that the port is taken, which it has logged
        return 1
    event("stopped")
    return 0 if ran else 1

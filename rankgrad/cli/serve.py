"""``rankgrad serve``: answer rerank requests over HTTP."""

from __future__ import annotations

import argparse

from rankgrad.cli._parser import Parser, add_command


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    from rankgrad.deploy.serve.arguments import add_arguments

    parser = add_command(
        commands,
        "serve",
        run,
        summary="answer rerank requests over HTTP",
        about=(
            "Answer over HTTP with a bundle that `rankgrad export` wrote: /rerank, /v1/rerank and /v2/rerank in\n"
            "Cohere's and Jina's shape, /tei/rerank in that of text-embeddings-inference, /embed (ColBERT),\n"
            "/health, /metrics and /openapi.json. Texts of several requests share a run of the graph. SIGTERM\n"
            "stops it when the requests under way are answered. Without torch: `python -m rankgrad.deploy.serve`."
        ),
        example=(
            "  rankgrad serve runs/demo/bundle --port 8080\n"
            "  curl localhost:8080/rerank -H 'Content-Type: application/json' \\\n"
            '    -d \'{"query": "sort a list", "documents": ["list.sort sorts in place", "open opens a file"]}\''
        ),
    )
    add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until stopped."""
    from rankgrad.deploy.serve import run_server
    from rankgrad.deploy.serve.arguments import settings_from

    return run_server(arguments.bundle, settings_from(arguments), variant=arguments.variant, threads=arguments.threads)

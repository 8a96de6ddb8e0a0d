"""The options of a server on the command line."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.deploy.serve.settings import ServerSettings
from rankgrad.types import VARIANTS

KEY_VARIABLE = "RANKGRAD_API_KEY"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add BUNDLE and all options to a parser."""
    default = ServerSettings()
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that rankgrad export wrote")
    parser.add_argument("--variant", choices=VARIANTS, default="fp32", help="which graph (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads of the graph (default: every core)")
    address = parser.add_argument_group("address")
    address.add_argument("--host", default=default.host, help="default: %(default)s, this machine alone")
    address.add_argument("--port", type=int, default=default.port, metavar="N", help="default: %(default)s")
    address.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help=f"file with the key that clients must send (default: the variable {KEY_VARIABLE}, else none)",
    )
    address.add_argument("--api-key", metavar="KEY", help="the key itself; other users of the machine can see it")
    limits = parser.add_argument_group("limits")
    for name, kind, value, unit, text in (
        ("--max-documents", int, default.max_documents, "N", "documents of a request"),
        ("--max-characters", int, default.max_characters, "N", "characters of a text"),
        ("--max-body-bytes", int, default.max_body_bytes, "N", "bytes of a body"),
        ("--max-requests", int, default.max_requests, "N", "requests at once; further ones get 429"),
        ("--timeout", float, default.timeout, "SECONDS", "for a request"),
        ("--body-timeout", float, default.body_timeout, "SECONDS", "for a head or a body to arrive"),
        ("--drain-delay", float, default.drain_delay, "SECONDS", "between SIGTERM and the last request taken"),
    ):
        limits.add_argument(name, type=kind, default=value, metavar=unit, help=f"{text} (default: %(default)s)")
    batching = parser.add_argument_group("batching")
    batching.add_argument("--no-batching", action="store_true", help="run each request on its own")
    batching.add_argument(
        "--batch-wait-ms",
        type=float,
        default=1e3 * default.batch_wait,
        metavar="MS",
        help="how long a run waits for a request on its way (default: %(default)s)",
    )
    batching.add_argument(
        "--batch-tokens",
        type=int,
        default=default.batch_tokens,
        metavar="N",
        help="tokens that fill a run (default: %(default)s)",
    )


def settings_from(arguments: argparse.Namespace) -> ServerSettings:
    """The settings that the command line says.

    Raises:
        InputError: for a value out of bounds, or a key file that cannot be read.
    """
    return ServerSettings(
        host=arguments.host,
        port=arguments.port,
        api_key=_key(arguments),
        max_documents=arguments.max_documents,
        max_characters=arguments.max_characters,
        max_body_bytes=arguments.max_body_bytes,
        max_requests=arguments.max_requests,
        timeout=arguments.timeout,
        body_timeout=arguments.body_timeout,
        drain_delay=arguments.drain_delay,
        batching=not arguments.no_batching,
        batch_wait=arguments.batch_wait_ms / 1e3,
        batch_tokens=arguments.batch_tokens,
    )


def _key(arguments: argparse.Namespace) -> str | None:
    """The key of the option, the file or the environment, in this order, without the white space around it."""
    if arguments.api_key is not None:
        return arguments.api_key.strip()
    if arguments.api_key_file is not None:
        try:
            return arguments.api_key_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--api-key-file {arguments.api_key_file} cannot be read ({error})") from error
    key = os.environ.get(KEY_VARIABLE)
    return None if key is None else key.strip()

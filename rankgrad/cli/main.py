"""``rankgrad``: reads the arguments, runs one command, turns what went wrong into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from rankgrad import __version__
from rankgrad._checks import InputError, MissingExtraError
from rankgrad.cli import bench, demo, encode, evaluate, export, fit, fuse, index, mine, rerank, search, serve, verify
from rankgrad.cli._parser import Parser

_COMMANDS = (demo, fit, evaluate, fuse, mine, encode, index, export, rerank, search, serve, verify, bench)
# These know only some of their options; the rest is for another parser.
_PASS_ON = ("fit", "bench")
WRONG_INPUT = 2
INTERRUPTED = 130
BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the words after ``rankgrad``; None takes them from ``sys.argv``.

    Returns:
        0 when it worked, 2 for input or files that cannot be used, 130 after Ctrl-C, 141 when the reader of a pipe went
        away.
    """
    try:
        arguments = _parse(argv)
        code = arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else WRONG_INPUT
    except (InputError, MissingExtraError) as error:
        return _say(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        return _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _say(f"not enough memory: ask for less at once (fewer documents, smaller widths or batches); {error}")
    except KeyboardInterrupt:
        print("rankgrad: stopped", file=sys.stderr)
        return INTERRUPTED
    return code


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="rankgrad",
        description="Train, measure, export and run rankers for search.",
        epilog="`rankgrad COMMAND --help` explains a command and shows an example.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"rankgrad {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for command in _COMMANDS:
        command.add_to(commands)
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse; what ``fit`` does not know goes on to Lightning's own parser, and so with ``bench``."""
    parser = build_parser()
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command in _PASS_ON:
        arguments.rest = rest
    elif rest:
        parser.error(f"unknown argument {rest[0]!r} for {arguments.command}")
    return arguments


def _out_of_memory(error: MemoryError | RuntimeError) -> bool:
    """Python's and numpy's error; torch's are a kind of RuntimeError (on GPUs) and its words (on CPUs)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return "not enough memory" in str(error)


def _say(message: str) -> int:
    print(f"rankgrad: error: {' '.join(message.split())}", file=sys.stderr)
    return WRONG_INPUT

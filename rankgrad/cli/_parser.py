"""The argument parser of every command: one line an error, help with an example."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn, TypeAlias

Run: TypeAlias = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Print one line on standard error and exit with 2."""
        self.exit(2, f"rankgrad: error: {message} (see {self.prog} --help)\n")


def add_command(
    commands: argparse._SubParsersAction[Parser], name: str, run: Run, *, summary: str, about: str, example: str
) -> Parser:
    """Add a command whose help ends in an example.

    Args:
        commands: what ``Parser.add_subparsers`` gave.
        name: the word typed after ``rankgrad``.
        run: called with the parsed arguments; gives the exit code.
        summary: the line in ``rankgrad --help``.
        about: the paragraph at the head of the command's own help.
        example: command lines to copy.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=about,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def positive(text: str) -> int:
    """A whole number of at least 1, as an argument's ``type``.

    Example:
        >>> positive("10")
        10
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return number

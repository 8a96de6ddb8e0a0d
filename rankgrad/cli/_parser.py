"""The argument parser of every command: one line an error, help with an example."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Collection
from typing import Any, NoReturn, TypeAlias

from rankgrad._checks import InputError

Run: TypeAlias = Callable[[argparse.Namespace], int]

_NEGATIVE_NUMBER = re.compile(r"-(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$")


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that says in one line what is wrong."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # Before Python 3.14 argparse takes -1e9, unlike -1, for an option.
        self._negative_number_matcher = _NEGATIVE_NUMBER

    def error(self, message: str) -> NoReturn:
        """Print one line on standard error and exit with 2."""
        self.exit(2, f"rankgrad: error: {message} (see {self.prog} --help)\n")


def add_command(
    commands: argparse._SubParsersAction[Parser], name: str, run: Run, *, summary: str, about: str, example: str
) -> Parser:
    """Add a command whose help ends in an example; what it parses to holds ``run`` and the ``parser`` itself.

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
    parser.set_defaults(run=run, parser=parser)
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
    if not 1 <= number < 2**31:
        bound = " and below 2^31" if number > 1 else ""
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1{bound}, got {text!r}")
    return number


def finite(text: str) -> float:
    """A number, not infinite and not NaN, as an argument's ``type``.

    Example:
        >>> finite("0.5")
        0.5
    """
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}")
    return number


def seed(text: str) -> int:
    """A whole number that every generator takes, as an argument's ``type``.

    Example:
        >>> seed("0")
        0
    """
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 2**63:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0 and below 2^63, got {text!r}")
    return number


def refuse_unused(arguments: argparse.Namespace, options: Collection[str], why: str) -> None:
    """An option that nothing looks at is a mistake: refuse those that differ from their defaults.

    Args:
        arguments: what was parsed.
        options: as they are typed, such as ``--depth``.
        why: ends the message: ``"without --data"``.

    Raises:
        InputError: naming them.

    Example:
        >>> parser = Parser()
        >>> _ = parser.add_argument("--depth", type=positive, default=20)
        >>> parser.set_defaults(parser=parser)
        >>> refuse_unused(parser.parse_args(["--depth", "20"]), ["--depth"], "without --data")
        >>> refuse_unused(parser.parse_args(["--depth", "9"]), ["--depth"], "without --data")
        Traceback (most recent call last):
        ...
        rankgrad._checks.InputError: --depth says nothing without --data: leave it out
    """
    names = {option: _place_of(option) for option in options}
    default = arguments.parser.get_default
    unused = [option for option, name in names.items() if getattr(arguments, name) != default(name)]
    if unused:
        says, them = ("says", "it") if len(unused) == 1 else ("say", "them")
        raise InputError(f"{', '.join(unused)} {says} nothing {why}: leave {them} out")


def _place_of(option: str) -> str:
    """Where argparse keeps an option's value; ``run`` is taken by the command's function."""
    return "run_file" if option == "--run" else option.lstrip("-").replace("-", "_")

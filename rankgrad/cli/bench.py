"""``rankgrad bench``: the measurements of a checkout."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad.cli._parser import Parser, add_command

CHECKOUT = Path(__file__).resolve().parents[2]


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command; its options are those of ``python -m benchmarks``."""
    parser = add_command(
        commands,
        "bench",
        run,
        summary="measure rankgrad beside its peers, in a checkout",
        about=(
            "Measure one case, such as rerank, bm25 or maxsim_rerank, beside other libraries, compare the results and\n"
            "write a CSV and a picture. It is `python -m benchmarks` of the checkout that this rankgrad is installed\n"
            "from, with the same options: --quick for tiny sizes, --out FOLDER, --model, --device. --help-all lists\n"
            "them and the cases. An installed package does not hold the benchmarks."
        ),
        example="  rankgrad bench rerank --quick\n  rankgrad bench bm25 --out runs/benchmarks",
    )
    parser.usage = "rankgrad bench CASE [--quick] [--out FOLDER] [--model MODEL] [--device DEVICE] [...]"
    parser.add_argument("--help-all", action="store_true", help="list every case and every option and exit")


def run(arguments: argparse.Namespace) -> int:
    """Hand the arguments on to the benchmarks, in a process of their own.

    Raises:
        InputError: without a checkout, or without a case.
    """
    if not ((CHECKOUT / "benchmarks" / "__main__.py").is_file() and (CHECKOUT / "pyproject.toml").is_file()):
        raise InputError(
            "the benchmarks are not part of the installed package: clone the repository and install it with "
            "`pip install -e '.[bench]'`, or run `make bench` in it"
        )
    words = ["--help"] if arguments.help_all else arguments.rest
    if not words:
        raise InputError("no case to measure: name one, such as `rankgrad bench rerank --quick`; --help-all lists them")
    places = [str(CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
    command = [sys.executable, "-m", "benchmarks", *words]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(places)}, check=False).returncode

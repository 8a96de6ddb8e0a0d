"""``rankgrad verify``: is a bundle whole, and does it still give the scores it gave?"""

from __future__ import annotations

import argparse

from rankgrad.cli._parser import Parser, add_command


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    from rankgrad.deploy.verify import add_arguments, run

    parser = add_command(
        commands,
        "verify",
        run,
        summary="check a bundle: files, graphs, recorded scores",
        about=(
            "Check a bundle that `rankgrad export` wrote: no file is missing, cut off or changed, every graph loads\n"
            "in this onnxruntime, and a few recorded texts (or rows) get the scores that torch gave them. Exits with\n"
            "1 when a check fails. Without torch: `python -m rankgrad.deploy.verify`."
        ),
        example="  rankgrad verify runs/demo/bundle\n  rankgrad verify runs/demo/bundle --json",
    )
    add_arguments(parser)

"""``python -m rankgrad.deploy.verify BUNDLE``: check a bundle on a machine without torch."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.deploy.verification import verify_bundle

FAILED = 1
WRONG_INPUT = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add BUNDLE and the options to a parser."""
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder that rankgrad export wrote")
    parser.add_argument("--json", action="store_true", help="write JSON instead of lines")


def run(arguments: argparse.Namespace) -> int:
    """Check and write what was found.

    Returns:
        0, or 1 when a check failed.
    """
    found = verify_bundle(arguments.bundle)
    if arguments.json:
        sys.stdout.write(json.dumps([each._asdict() for each in found], indent=2) + "\n")
    else:
        sys.stdout.write(
            "".join(f"{each.state:<6}  {each.check}: {' '.join(each.message.split())}\n" for each in found)
        )
    return FAILED if any(each.state == "failed" for each in found) else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Check a bundle.

    Returns:
        0, 1 when a check failed, 2 for what is no bundle.
    """
    parser = argparse.ArgumentParser(
        prog="python -m rankgrad.deploy.verify",
        description="Check an exported bundle: files, graphs, recorded scores. Torch is not needed.",
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except (InputError, MissingExtraError) as error:
        sys.stderr.write(f"rankgrad.deploy.verify: error: {' '.join(str(error).split())}\n")
        return WRONG_INPUT


if __name__ == "__main__":
    sys.exit(main())

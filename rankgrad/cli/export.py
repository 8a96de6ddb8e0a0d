"""``rankgrad export``: turn a trained model into files that run without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad._files import check_replaceable
from rankgrad.cli._load import BUNDLE_FILE, is_bundle, load_trained
from rankgrad.cli._parser import Parser, add_command
from rankgrad.cli._show import note


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "export",
        run,
        summary="turn a trained model into ONNX files that run without torch",
        about=(
            "Turn a trained model folder into a bundle: ONNX graphs (fp32 and int8), tokenizer, settings and a\n"
            "card with the measured agreement with torch. If a graph disagrees with torch, nothing is written."
        ),
        example="  rankgrad export runs/cross_encoder/best --out bundles/cross_encoder",
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a trained model folder")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    parser.add_argument("--no-int8", action="store_true", help="leave out the 8-bit graph")
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")


def run(arguments: argparse.Namespace) -> int:
    """Export and say where."""
    if is_bundle(arguments.model):
        raise InputError(f"{arguments.model} is a bundle already: pass the trained model folder it was made from")
    check_replaceable(arguments.out, BUNDLE_FILE)
    if (arguments.out / BUNDLE_FILE).is_file() and not arguments.overwrite:
        raise InputError(f"{arguments.out} exists: pass --overwrite to replace it, or choose another --out")
    model = load_trained(arguments.model)
    from rankgrad.export import export_bundle

    export_bundle(model, arguments.out, quantize=not arguments.no_int8)
    note(f"wrote {arguments.out}")
    return 0

"""``rankgrad export``: turn a trained model into files that run without torch."""

from __future__ import annotations

import argparse
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad._files import check_replaceable
from rankgrad.cli._load import BUNDLE_FILE, is_bundle, is_feature_ranker, load_trained
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
            "card with the measured agreement with torch. If a graph disagrees with torch, nothing is written.\n"
            "Of a feature ranker one fp32 graph is written, with the fitted transform of the features inside;\n"
            "it is too small to gain by 8 bits."
        ),
        example=(
            "  rankgrad export runs/cross_encoder/best --out bundles/cross_encoder\n"
            "  rankgrad export runs/ltr_approx_ndcg --out bundles/ltr --feature-names names.txt"
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a trained model folder, or a run with one in best/")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    parser.add_argument("--no-int8", action="store_true", help="leave out the 8-bit graph")
    parser.add_argument(
        "--feature-names",
        type=Path,
        metavar="FILE",
        help="of a feature ranker: names of the features, one a line, recorded in the bundle",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")


def run(arguments: argparse.Namespace) -> int:
    """Export and say where."""
    if is_bundle(arguments.model):
        raise InputError(f"{arguments.model} is a bundle already: pass the trained model folder it was made from")
    check_replaceable(arguments.out, BUNDLE_FILE)
    if (arguments.out / BUNDLE_FILE).is_file() and not arguments.overwrite:
        raise InputError(f"{arguments.out} exists: pass --overwrite to replace it, or choose another --out")
    folder, names = _model_folder(arguments.model), _names(arguments.feature_names)
    if is_feature_ranker(folder):
        from rankgrad.models import FeatureRanker

        model = FeatureRanker.from_pretrained(folder)
    else:
        model = load_trained(folder)
    from rankgrad.export import export_bundle

    export_bundle(model, arguments.out, quantize=not arguments.no_int8, feature_names=names)
    note(f"wrote {arguments.out}")
    return 0


def _model_folder(folder: Path) -> Path:
    """The folder itself, or its ``best`` where it is a run."""
    best = folder / "best"
    return best if not (folder / "config.json").is_file() and (best / "config.json").is_file() else folder


def _names(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from error

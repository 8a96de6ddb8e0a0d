"""``rankgrad export``: turn a trained model into files that run without torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad._files import check_replaceable
from rankgrad.cli._checkpoint import is_checkpoint
from rankgrad.cli._exported import add_measuring, judged_lists_of, judged_rows_of, ranked_texts, variant_names
from rankgrad.cli._load import BUNDLE_FILE, is_bundle, is_feature_ranker, load_exportable, load_trained_features
from rankgrad.cli._parser import Parser, add_command, positive, refuse_unused
from rankgrad.cli._show import note
from rankgrad.types import VARIANTS

if TYPE_CHECKING:
    from typing import Any


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "export",
        run,
        summary="turn a trained model into ONNX files that run without torch",
        about=(
            "Turn a trained model folder into a bundle: ONNX graphs (fp32 and --variants), tokenizer, settings and a\n"
            "card with the measured agreement with torch, latency and, with --data, nDCG@10 of each graph. If a\n"
            "graph disagrees with torch, nothing is written.\n"
            "Any trained model of texts can be exported: cross-encoder, ColBERT, dense, sparse or causal.\n"
            "Of a feature ranker one fp32 graph is written, with the fitted transform of the features inside;\n"
            "it is too small to gain by 8 bits. A cascade of feature rankers becomes one such graph too, with its\n"
            "stages and cut-offs; of both a run's checkpoint can be exported as well as its best model."
        ),
        example=(
            "  rankgrad export runs/cross_encoder/best --out bundles/cross_encoder\n"
            "  rankgrad export runs/colbert --out bundles/colbert --variants int8,int8-static,fp16 \\\n"
            "    --texts lists.jsonl --data my_beir_folder --split dev\n"
            "  rankgrad export runs/ltr_approx_ndcg --out bundles/ltr --feature-names names.txt\n"
            "  rankgrad export runs/ltr_cascade --out bundles/cascade"
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a trained model folder, or a run with one in best/")
    parser.add_argument("--out", type=Path, required=True, metavar="BUNDLE", help="folder to write")
    parser.add_argument(
        "--variants",
        type=variant_names,
        metavar="NAMES",
        help=f"graphs beside fp32, of {', '.join(VARIANTS[1:])}, with commas between; fp32 alone for none of them "
        "(default: int8)",
    )
    add_measuring(parser)
    parser.add_argument(
        "--feature-names",
        type=Path,
        metavar="FILE",
        help="of a feature ranker: names of the features, one a line, recorded in the bundle",
    )
    parser.add_argument(
        "--exit-layer", type=positive, metavar="N", help="of a cross-encoder with exits: score behind N layers"
    )
    parser.add_argument(
        "--one-graph",
        action="store_true",
        help="of a ColBERT: one graph that takes queries and candidates and gives scores, to rerank without an index",
    )
    parser.add_argument(
        "--separate-graphs",
        action="store_true",
        help="of a ColBERT: also a graph of the query encoder, one of the document encoder and one of MaxSim",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a bundle that is there")
    parser.add_argument("--json", action="store_true", help="print what the bundle says of itself as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Export and say where."""
    checkpoint = is_checkpoint(arguments.model)
    if not checkpoint and is_bundle(arguments.model):
        raise InputError(f"{arguments.model} is a bundle already: pass the trained model folder it was made from")
    if arguments.data is None:
        refuse_unused(arguments, ["--split", "--depth", "--queries", "--ndcg-tolerance"], "without --data")
    check_replaceable(arguments.out, BUNDLE_FILE)
    if (arguments.out / BUNDLE_FILE).is_file() and not arguments.overwrite:
        raise InputError(f"{arguments.out} exists: pass --overwrite to replace it, or choose another --out")
    folder = arguments.model if checkpoint else _model_folder(arguments.model)
    names = _names(arguments.feature_names)
    texts = ranked_texts(arguments.texts)
    features = checkpoint or is_feature_ranker(folder)
    if features:
        model = load_trained_features(folder)
        judged = judged_rows_of(arguments, model.features)
    else:
        judged = judged_lists_of(arguments)
        model = load_exportable(folder)
    from rankgrad.export import export_bundle

    content = export_bundle(
        model,
        arguments.out,
        variants=arguments.variants,
        calibration_texts=texts,
        quality=judged,
        ndcg_tolerance=arguments.ndcg_tolerance,
        feature_names=names,
        exit_layer=arguments.exit_layer,
        one_graph=arguments.one_graph,
        separate_graphs=arguments.separate_graphs,
    )
    for line in _unfit(content):
        note(line)
    note(f"wrote {arguments.out}")
    if arguments.json:
        print(json.dumps({"out": str(arguments.out), **content}, ensure_ascii=False, indent=2))
    return 0


def _unfit(content: dict[str, Any]) -> list[str]:
    """A line for each graph that loses too much."""
    quality = content.get("quality", {})
    return [
        f"{variant} is unfit: it loses {found['loss']:.2f} points of nDCG@10, allowed are {quality['tolerance']:g}"
        for variant, found in quality.get("variants", {}).items()
        if not found["fit"]
    ]


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

"""``rankgrad demo``: the whole of rankgrad on this Python's own documentation."""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankgrad._checks import check_texts, require
from rankgrad._files import check_replaceable
from rankgrad.cli._load import BUNDLE_FILE
from rankgrad.cli._parser import Parser, add_command, positive

if TYPE_CHECKING:
    from rankgrad.cli._systems import Weights
    from rankgrad.data import Collection
    from rankgrad.evaluation import Report

QUESTION = "read a configuration file into a dictionary"
RETRIEVED = 100
CROSS_ENCODED = 20
FIRST_STAGE_QUERIES = 60
MODELS = ("colbert", "cross-encoder")
_LIBRARIES = {
    "text": ("transformers",),
    "train": ("pytorch_lightning", "torchmetrics"),
    "retrieve": ("Stemmer",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "evaluate": ("rich", "matplotlib"),
}


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "demo",
        run,
        summary="train, measure, export and rerank on this Python's own documentation",
        about=(
            "Train a ColBERT and a cross-encoder on the documentation of this Python's standard library, measure them\n"
            "against BM25 on modules they have not seen, export them to ONNX and rerank with the artifacts.\n"
            "Needs no download; takes minutes on two cores."
        ),
        example='  rankgrad demo --out runs/demo --query "wait for a process to end"',
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="folder for what it makes (default: %(default)s)"
    )
    parser.add_argument("--query", help="what to search for at the end (default: asked for, or an example)")
    parser.add_argument(
        "--encoder", default="minilm", help="folder or hub id of the encoder to start from (default: %(default)s)"
    )
    parser.add_argument(
        "--queries", type=positive, default=100, help="test queries to measure on (default: %(default)s)", metavar="N"
    )
    parser.add_argument("--json", action="store_true", help="print JSON at the end; what is under way goes to stderr")
    parser.add_argument("--quick", action="store_true", help="a few training steps only: to try the machinery")


def run(arguments: argparse.Namespace) -> int:
    """Run the demonstration."""
    _check(arguments)
    if not arguments.json:
        _demonstrate(arguments)
        return 0
    with redirect_stdout(sys.stderr):
        made = _demonstrate(arguments)
    print(json.dumps(made, ensure_ascii=False, indent=2))
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse at once what would end the demonstration after minutes of training."""
    if arguments.query is not None:
        check_texts([arguments.query], "--query")
    check_replaceable(arguments.out / "report", "report.json")
    for name in MODELS:
        check_replaceable(arguments.out / "bundles" / name, BUNDLE_FILE)
    for extra, libraries in _LIBRARIES.items():
        for library in libraries:
            require(library, extra)


def _demonstrate(arguments: argparse.Namespace) -> dict[str, Any]:
    """Train, export, measure, answer; gives plain values for JSON."""
    from rankgrad.data import pydoc_collection

    started = time.perf_counter()
    _say(started, "Reading the documentation of this Python's standard library")
    collection = pydoc_collection()
    sizes = ", ".join(f"{len(collection.qrels[split])} {split}" for split in collection.splits)
    print(f"  {len(collection.documents)} documents; queries: {sizes}; no module is in two of the splits")
    bundles = _train_and_export(collection.only("train", "validation"), arguments, started)
    report = _measure(collection, bundles, arguments, started)
    answer = _answer(collection, bundles, arguments, started)
    print(f"\nDone in {(time.perf_counter() - started) / 60:.1f} minutes; everything is in {arguments.out}")
    return {"out": str(arguments.out), "bundles": [str(each) for each in bundles], "report": report.to_dict(), **answer}


def _train_and_export(collection: Collection, arguments: argparse.Namespace, started: float) -> list[Path]:
    """Train both models and write their bundles; gives the folders of models and bundles."""
    from rankgrad.cli import _demo_training as training
    from rankgrad.export import export_bundle

    few = {"steps": 2} if arguments.quick else {}
    models = arguments.out / "models"
    _say(started, "Training a ColBERT from the packaged MiniLM: BM25 negatives, in-batch negatives")
    colbert = training.train_colbert(
        collection, arguments.encoder, models / "colbert", training.COLBERT._replace(**few)
    )
    _say(started, "Training a cross-encoder: it starts from that ColBERT's encoder and learns from its scores")
    cross_encoder = training.train_cross_encoder(
        collection, colbert, models / "cross-encoder", training.CROSS_ENCODER._replace(**few)
    )
    _say(started, "Exporting both to ONNX, fp32 and int8, checked against torch")
    bundles = [arguments.out / "bundles" / name for name in MODELS]
    calibration = _calibration(collection)
    for model, bundle in zip((colbert, cross_encoder), bundles, strict=True):
        content = export_bundle(
            model, bundle, calibration_texts=calibration, progress=lambda line: print(f"  {line}"), rank_agreement=0.7
        )
        for variant in content["graphs"]:
            print(f"  {bundle}, {variant}: Kendall tau with torch {content['parity'][variant]['kendall_tau']:.3f}")
    return bundles


def _calibration(collection: Collection) -> list[tuple[str, list[str]]]:
    """Validation queries with BM25's documents: what parity is measured on."""
    from rankgrad.retrieve import BM25

    task = collection.task("validation").sample(6, seed=0)
    ranking = BM25(task.documents.texts)(task.queries.texts, 10)
    rows = [ids[mask].tolist() for ids, mask in zip(ranking.ids, ranking.mask, strict=True)]
    found = [[task.documents.texts[row] for row in each] for each in rows]
    return [(query, texts) for query, texts in zip(task.queries.texts, found, strict=True) if len(texts) > 1]


def _measure(collection: Collection, bundles: list[Path], arguments: argparse.Namespace, started: float) -> Report:
    """Compare all systems on held-out modules; print the table, write report, runs and picture."""
    from rich.console import Console

    from rankgrad.cli._systems import BASELINE, Depths, systems_of
    from rankgrad.evaluation import Experiment

    weights = _weights(collection, arguments, started)
    task = collection.only("test").task("test")
    task = task.sample(min(arguments.queries, len(task.queries)), seed=0)
    _say(started, f"Measuring on {len(task.queries)} queries, {len(task.documents)} documents, all of held-out modules")
    folders = [_model(arguments, name) for name in MODELS]
    systems = systems_of([*folders, *bundles], task.documents.texts, Depths(RETRIEVED, CROSS_ENCODED), weights)
    # The fp32 graphs are torch's to 1e-5, so their cascade would be measured twice.
    systems = {name: system for name, system in systems.items() if name.count("fp32") < 2}
    report = Experiment(systems, task, baseline=BASELINE).run(progress=sys.stderr.isatty())
    Console().print(report.table())
    report.write(arguments.out / "report")
    print(f"  table, runs and picture: {arguments.out / 'report'}")
    return report


def _weights(collection: Collection, arguments: argparse.Namespace, started: float) -> Weights:
    """How much each stage should listen to the one before it, by validation queries."""
    from rankgrad.cli._systems import Depths
    from rankgrad.cli._weights import describe, fit_weights

    _say(started, "Choosing on validation queries how much of the score before it each model adds to its own")
    task = collection.only("validation").task("validation").sample(FIRST_STAGE_QUERIES, seed=0)
    folders = [_model(arguments, name) for name in MODELS]
    weights = fit_weights(folders, task, Depths(RETRIEVED, CROSS_ENCODED))
    print(f"  {describe(weights)}")
    return weights


def _model(arguments: argparse.Namespace, name: str) -> Path:
    """The folder of a trained model."""
    return arguments.out / "models" / name / "best"


def _answer(
    collection: Collection, bundles: list[Path], arguments: argparse.Namespace, started: float
) -> dict[str, Any]:
    """Search for one sentence with BM25 and the exported cascade."""
    from rankgrad.cli._load import load_bundle
    from rankgrad.cli._show import Found, results_of, show
    from rankgrad.retrieve import BM25

    query = arguments.query or (QUESTION if arguments.json else _ask())
    _say(started, f"Reranking with the bundles, without torch models: {query!r}")
    documents = collection.documents
    ranking = BM25(documents.texts)([query], min(RETRIEVED, len(documents)))
    rows = ranking.ids[0][ranking.mask[0]].tolist()
    if not rows:
        print("  BM25 finds no document that shares a word with it: try other words with --query")
        return {"query": query, "results": []}
    for bundle, keep in zip(bundles, (CROSS_ENCODED, 5), strict=True):
        results = load_bundle(bundle).rerank(query, [documents.texts[row] for row in rows], k=min(keep, len(rows)))
        rows = [rows[result.index] for result in results]
    found = [Found(documents.ids[row], each.score, each.document) for row, each in zip(rows, results, strict=True)]
    show(query, found, name="id", as_json=False)
    return {"query": query, "results": results_of(found, "id")}


def _ask() -> str:
    """A sentence from the person at the terminal; without one, or without an answer, an example."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return QUESTION
    try:
        return input(f"\nWhat are you looking for in Python's library? [{QUESTION}] ").strip() or QUESTION
    except EOFError:
        print()
        return QUESTION


def _say(started: float, text: str) -> None:
    print(f"\n[{time.perf_counter() - started:4.0f} s] {text}", flush=True)

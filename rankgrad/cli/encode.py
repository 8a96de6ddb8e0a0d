"""``rankgrad encode``: the vectors of a corpus, by several processes."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from rankgrad._checks import InputError, require
from rankgrad.cli._corpus import load_documents
from rankgrad.cli._load import PYDOC
from rankgrad.cli._parser import Parser, add_command, positive
from rankgrad.cli._show import note

MINILM = "minilm"
KINDS = ("dense", "sparse", "colbert")


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "encode",
        run,
        summary="encode a corpus into shards of vectors, by several processes",
        about=(
            "Encode the documents of a corpus with a dense, sparse or late-interaction encoder into a folder of\n"
            "safetensors shards. Stopped, the same command goes on where it was, also with other --devices.\n"
            "rankgrad.retrieve.EncodedCorpus reads the folder: for a DenseRetriever, a SparseRetriever, or\n"
            "QdrantRetriever.upload."
        ),
        example=(
            "  rankgrad encode runs/colbert/best --corpus my_beir_folder --out vectors --devices 4\n"
            "  rankgrad encode minilm --corpus corpus.jsonl --out vectors --float16"
        ),
    )
    parser.add_argument("model", metavar="MODEL", help=f"an encoder's folder, or {MINILM} for the packaged one")
    parser.add_argument(
        "--corpus",
        required=True,
        metavar="CORPUS",
        help=f"a folder in the BEIR layout, a file like its corpus.jsonl, or {PYDOC} for Python's documentation",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="write here")
    parser.add_argument("--kind", choices=KINDS, help="of the encoder (default: what its files say)")
    parser.add_argument("--devices", type=positive, default=1, metavar="N", help="processes, and GPUs (default: 1)")
    parser.add_argument("--accelerator", choices=("auto", "cpu", "gpu"), default="auto", help="(default: auto)")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument("--float16", action="store_true", help="write numbers of 16 bits")
    parser.add_argument(
        "--shard-size", type=positive, default=10_000, metavar="N", help="documents a file (default: 10000)"
    )
    parser.add_argument(
        "--batch-size", type=positive, default=32, metavar="N", help="documents encoded together (default: 32)"
    )
    parser.add_argument("--overwrite", action="store_true", help="begin anew in a folder encoded before")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Encode and say where."""
    for library in ("transformers", "pytorch_lightning"):
        require(library, "train")
    import torch

    from rankgrad.training import encode_corpus

    if arguments.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise InputError("--accelerator gpu: this torch sees no GPU; take cpu or auto")
    kind = arguments.kind or _kind(arguments.model)
    documents = load_documents(arguments.corpus)
    model = _model(arguments.model, kind)
    corpus = encode_corpus(
        model,
        documents,
        arguments.out,
        devices=arguments.devices,
        accelerator=arguments.accelerator,
        precision="bf16-mixed" if arguments.bf16 else "32-true",
        dtype=torch.float16 if arguments.float16 else torch.float32,
        shard_size=arguments.shard_size,
        batch_size=arguments.batch_size,
        settings={"model": _mark(arguments.model), "kind": kind, "bf16": arguments.bf16},
        overwrite=arguments.overwrite,
    )
    if corpus is not None:
        note(f"{corpus.documents} documents are in {len(corpus)} shards in {arguments.out}")
        if arguments.json:
            written = {"out": str(arguments.out), "kind": kind, "documents": corpus.documents, "shards": len(corpus)}
            print(json.dumps(written, indent=2))
    return 0


def _kind(name: str) -> str:
    """What the files of a folder say that the encoder is.

    Raises:
        InputError: for a folder that is none, or holds no model.
    """
    folder = Path(name)
    if name == MINILM:
        return "dense"
    if not folder.is_dir():
        raise InputError(f"{name} is no folder: pass an encoder's folder, or {MINILM!r}")
    from rankgrad.models import colbert_layout

    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} holds no model (no config.json): pass the folder that save_pretrained wrote")
    if colbert_layout.read(str(folder)) is not None:
        return "colbert"
    try:
        architectures = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'} is damaged ({error}): fetch the model again") from error
    return "sparse" if any(str(one).endswith("ForMaskedLM") for one in architectures) else "dense"


def _model(name: str, kind: str) -> Any:
    from rankgrad.models import ColBERT, DenseEncoder, SparseEncoder

    match kind:
        case "dense":
            return DenseEncoder.from_pretrained(name)
        case "sparse":
            return SparseEncoder.from_pretrained(name)
        case _:
            return ColBERT.from_pretrained(name)


def _mark(name: str) -> str:
    """Changes when the model does."""
    if name == MINILM or not Path(name).is_dir():
        return name
    files = sorted(file for file in Path(name).rglob("*") if file.is_file())
    return " ".join(f"{file.name}:{os.stat(file).st_size}:{os.stat(file).st_mtime_ns}" for file in files)

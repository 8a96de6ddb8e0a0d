"""``rankgrad index``: a late-interaction index of a corpus."""

from __future__ import annotations

import argparse
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad._checks import InputError
from rankgrad._index_files import check_replaceable_index
from rankgrad.cli._corpus import load_documents
from rankgrad.cli._first_stage import open_colbert
from rankgrad.cli._load import PYDOC
from rankgrad.cli._muvera import muvera_of
from rankgrad.cli._parser import Parser, add_command, positive, refuse_unused, seed
from rankgrad.cli._show import note
from rankgrad.types import VARIANTS

if TYPE_CHECKING:
    from rankgrad.retrieve import LateInteractionRetriever

_CODECS = ("fp16", "int8", "sign", "residual2", "residual4")
_SETTINGS = "index.json"
_ENCODINGS = ("--repetitions", "--partition-bits", "--projection-dim", "--final-dim", "--faiss")


def add_to(commands: argparse._SubParsersAction[Parser]) -> None:
    """Register the command."""
    parser = add_command(
        commands,
        "index",
        run,
        summary="encode a corpus into a late-interaction index",
        about=(
            "Encode the documents of a corpus with a ColBERT, trained or exported, and write an index of their token\n"
            "embeddings. MUVERA encodings find candidates among them; with --exact every document is scored.\n"
            "`rankgrad search --index` searches it. A command that is killed leaves the older index, or none."
        ),
        example=(
            "  rankgrad index runs/colbert/best --corpus my_beir_folder --out runs/index\n"
            "  rankgrad index runs/colbert/best --corpus pydoc --out runs/index --codec residual4 --faiss HNSW32\n"
            '  rankgrad search --index runs/index "a query"'
        ),
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a ColBERT: a model folder or a bundle")
    parser.add_argument(
        "--corpus",
        required=True,
        metavar="CORPUS",
        help=f"a folder in the BEIR layout, a file like its corpus.jsonl, or {PYDOC} for Python's documentation",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="write here")
    parser.add_argument(
        "--codec", choices=_CODECS, default="fp16", help="what is kept of a token (default: %(default)s)"
    )
    parser.add_argument("--variant", choices=VARIANTS, help="which graph of a bundle (default: fp32)")
    parser.add_argument("--overwrite", action="store_true", help="replace the index that is there")
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")
    group = parser.add_argument_group("encodings (MUVERA)")
    group.add_argument("--exact", action="store_true", help="make none: score every document, for small collections")
    group.add_argument("--repetitions", type=positive, default=20, metavar="N", help="(default: %(default)s)")
    group.add_argument("--partition-bits", type=positive, default=4, metavar="N", help="(default: %(default)s)")
    group.add_argument("--projection-dim", type=positive, default=16, metavar="N", help="(default: %(default)s)")
    group.add_argument("--final-dim", type=positive, metavar="N", help="sketch the encodings to this width")
    group.add_argument("--faiss", metavar="FACTORY", help="a FAISS factory string (default: exact products)")
    group.add_argument("--seed", type=seed, default=0, metavar="N", help="of all that is drawn (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Index and say what was written."""
    check_replaceable_index(arguments.out, "late_interaction_retriever", overwrite=arguments.overwrite)
    if (arguments.out / _SETTINGS).is_file() and not arguments.overwrite:
        raise InputError(f"{arguments.out} holds an index already: pass --overwrite, or name another folder")
    if arguments.exact:
        refuse_unused(arguments, _ENCODINGS, "beside --exact, which makes no encodings")
    documents = load_documents(arguments.corpus)
    model = open_colbert(arguments.model, arguments.variant)
    from rankgrad.retrieve import LateInteractionRetriever

    retriever = LateInteractionRetriever(
        model,
        documents.texts,
        codec=arguments.codec,
        muvera=None if arguments.exact else muvera_of(arguments, model.encode_queries(["width"])[0].shape[-1]),
        factory=arguments.faiss,
        seed=arguments.seed,
    )
    retriever.index(progress=sys.stderr.isatty() and find_spec("rich") is not None)
    notes = {"model": str(arguments.model.resolve()), "variant": arguments.variant, "names": list(documents.ids)}
    retriever.save_index(arguments.out, notes=notes, overwrite=arguments.overwrite)
    written = _summary(retriever, arguments.out)
    note(
        f"wrote {arguments.out}: {written['documents']} documents, {written['tokens']} tokens, "
        f"{written['bytes_per_document']:.0f} bytes a document"
    )
    if arguments.json:
        print(json.dumps(written, indent=2))
    return 0


def _summary(retriever: LateInteractionRetriever, out: Path) -> dict[str, object]:
    """What was written, without the texts."""
    collection = retriever.collection
    codes = collection.tokens.codes
    return {
        "out": str(out),
        "documents": retriever.documents,
        "tokens": 0 if codes is None else len(codes),
        "dim": collection.tokens.dim,
        "codec": collection.codec,
        "encoding_dim": None if collection.muvera is None else collection.muvera.encoding_dim,
        "bytes_per_document": collection.nbytes / retriever.documents,
    }

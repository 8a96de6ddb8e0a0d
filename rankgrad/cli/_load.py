"""Opening what a command is given: a bundle, a trained model folder, a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from rankgrad._checks import InputError

if TYPE_CHECKING:
    from rankgrad import deploy, models
    from rankgrad.data import Collection

Variant: TypeAlias = Literal["fp32", "int8"]
VARIANTS: tuple[Variant, ...] = ("fp32", "int8")
BundleModel: TypeAlias = "deploy.CrossEncoder | deploy.ColBERT"
TrainedModel: TypeAlias = "models.CrossEncoder | models.ColBERT"

PYDOC = "pydoc"
BUNDLE_FILE = "rankgrad.json"


def is_bundle(folder: Path) -> bool:
    """Is this what ``rankgrad export`` wrote?

    Raises:
        InputError: when it is no folder at all.
    """
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {problem}: pass a model folder or a bundle that `rankgrad export` wrote")
    return (folder / BUNDLE_FILE).is_file()


def load_bundle(folder: Path, variant: Variant = "fp32") -> BundleModel:
    """Open a bundle; torch is not imported.

    Raises:
        InputError: for files that are damaged or missing.
        MissingExtraError: without onnxruntime and tokenizers.
    """
    from rankgrad import deploy

    return deploy.load(folder, variant=variant)


def load_trained(folder: Path) -> TrainedModel:
    """Open a trained model folder.

    Raises:
        InputError: for a folder that holds no ranker, or damaged files.
        MissingExtraError: without transformers.
    """
    from rankgrad._checks import require

    require("transformers", "text")
    from rankgrad.models import ColBERT, CrossEncoder

    if _is_colbert(folder):
        return ColBERT.from_pretrained(folder)
    if _is_cross_encoder(folder):
        return CrossEncoder.from_pretrained(folder)
    what = "an encoder but no ranker" if (folder / "config.json").is_file() else "no model (there is no config.json)"
    raise InputError(
        f"{folder} holds {what}: train one with `rankgrad fit`, or pass the folder that save_pretrained wrote"
    )


def load_collection(name: str) -> Collection:
    """Open a BEIR folder, or ``pydoc``, this Python's own documentation.

    Raises:
        InputError: for a folder that is none, or malformed files (named with their line).
        FileNotFoundError: for a missing corpus or query file.
    """
    from rankgrad.data import pydoc_collection, read_beir

    if name == PYDOC:
        return pydoc_collection()
    folder = Path(name)
    if not folder.is_dir():
        raise InputError(
            f"{name} is no folder: pass a folder in the BEIR layout, or {PYDOC!r} for Python's documentation"
        )
    return read_beir(folder)


def _is_colbert(folder: Path) -> bool:
    from rankgrad.models import colbert_layout

    return colbert_layout.read(str(folder)) is not None


def _is_cross_encoder(folder: Path) -> bool:
    if (folder / "rankgrad_model.json").is_file():
        return True
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    names = config.get("architectures") or [] if isinstance(config, dict) else []
    return any(str(name).endswith("ForSequenceClassification") for name in names)

"""Opening what a command is given: a bundle, a trained model folder, a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rankgrad._checks import InputError

if TYPE_CHECKING:
    from rankgrad import deploy, models
    from rankgrad.data import Collection

Variant: TypeAlias = Literal["fp32", "int8"]
VARIANTS: tuple[Variant, ...] = ("fp32", "int8")
BundleModel: TypeAlias = "deploy.CrossEncoder | deploy.ColBERT"
TrainedModel: TypeAlias = "models.CrossEncoder | models.ColBERT"
FeatureModel: TypeAlias = "deploy.FeatureRanker | models.FeatureRanker"

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
    """Open a bundle of a model that reads texts; torch is not imported.

    Raises:
        InputError: for files that are damaged or missing, or a feature ranker.
        MissingExtraError: without onnxruntime and tokenizers.
    """
    from rankgrad import deploy

    model = deploy.load(folder, variant=variant)
    if isinstance(model, deploy.FeatureRanker):
        raise _reads_no_texts(folder)
    return model


def is_feature_ranker(folder: Path) -> bool:
    """Does a model folder hold a ranker of feature rows?"""
    return _config(folder).get("model_type") == "rankgrad_feature_ranker"


def load_feature_ranker(folder: Path) -> FeatureModel:
    """Open a trained feature ranker or its bundle.

    Raises:
        InputError: for a model that reads texts, a folder that holds no ranker, or damaged files.
        MissingExtraError: without onnxruntime (a bundle) or safetensors.
    """
    if is_bundle(folder):
        from rankgrad import deploy

        model = deploy.load(folder)
        if isinstance(model, deploy.FeatureRanker):
            return model
    elif is_feature_ranker(folder):
        from rankgrad.models import FeatureRanker

        return FeatureRanker.from_pretrained(folder)
    raise InputError(f"{folder} holds no feature ranker: rows of features need one, `rankgrad fit` trains it")


def load_trained(folder: Path) -> TrainedModel:
    """Open a trained model folder.

    Raises:
        InputError: for a folder that holds no ranker of texts, or damaged files.
        MissingExtraError: without transformers.
    """
    from rankgrad._checks import require

    if is_feature_ranker(folder):
        raise _reads_no_texts(folder)
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
    names = _config(folder).get("architectures") or []
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says; nothing where it cannot be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _reads_no_texts(folder: Path) -> InputError:
    return InputError(
        f"{folder} holds a feature ranker, which reads rows of features, not texts: measure it with `rankgrad evaluate "
        f"--data ROWS.txt --model {folder}`, or score rows with `python -m rankgrad.deploy BUNDLE ROWS.txt`"
    )

"""Opening what a command is given: a bundle, a trained model folder, a collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from rankgrad._checks import InputError
from rankgrad.cli._checkpoint import is_checkpoint, load_checkpoint
from rankgrad.types import Variant

if TYPE_CHECKING:
    from rankgrad import deploy, models
    from rankgrad.data import Collection
    from rankgrad.pipeline import FeatureCascade

BundleModel: TypeAlias = "deploy.CrossEncoder | deploy.CausalReranker | deploy.ColBERT"
BundleRanker: TypeAlias = "BundleModel | deploy.ColBERTReranker"
TrainedModel: TypeAlias = "models.CrossEncoder | models.CausalReranker | models.ColBERT"
TextModel: TypeAlias = "TrainedModel | models.DenseEncoder | models.SparseEncoder"
TrainedFeatureModel: TypeAlias = "models.FeatureRanker | FeatureCascade"
FeatureModel: TypeAlias = "deploy.FeatureRanker | TrainedFeatureModel"

Content = TypeVar("Content", dict, list)
PYDOC = "pydoc"
BUNDLE_FILE = "rankgrad.json"
_CASCADE = "rankgrad_feature_cascade"
_IMAGES = "image_colbert"
_ENCODERS = {"dense_encoder": "dense encoder", "sparse_encoder": "sparse encoder"}


def is_bundle(folder: Path) -> bool:
    """Is this what ``rankgrad export`` wrote?

    Raises:
        InputError: when it is no folder at all.
    """
    if folder.is_file() and folder.suffix == ".ckpt":
        raise InputError(
            f"{folder} is a training checkpoint: of feature rankers and their cascades `rankgrad evaluate` on rows and "
            "`rankgrad export` read one; else pass the run's best/"
        )
    if not folder.is_dir():
        problem = "is no folder" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {problem}: pass a model folder or a bundle that `rankgrad export` wrote")
    return (folder / BUNDLE_FILE).is_file()


def load_bundle(folder: Path, variant: Variant = "fp32") -> BundleModel:
    """Open a bundle of a cross-encoder, a causal reranker or a ColBERT; torch is not imported.

    Raises:
        InputError: for files that are damaged or missing, or a model of another kind.
        MissingExtraError: without onnxruntime and tokenizers.
    """
    from rankgrad import deploy

    model = load_bundle_ranker(folder, variant)
    if isinstance(model, deploy.ColBERTReranker):
        raise _other_kind(folder, model)
    return model


def load_bundle_ranker(folder: Path, variant: Variant = "fp32") -> BundleRanker:
    """As :func:`load_bundle`, or a ColBERT that is one graph from tokens to scores."""
    from rankgrad import deploy

    model = deploy.load(folder, variant=variant)
    if isinstance(model, deploy.FeatureRanker):
        raise _reads_no_texts(folder)
    if not isinstance(model, deploy.CrossEncoder | deploy.CausalReranker | deploy.ColBERT | deploy.ColBERTReranker):
        raise _other_kind(folder, model)
    return model


def is_feature_ranker(folder: Path) -> bool:
    """Does a model folder hold a ranker of feature rows, or a cascade of them?"""
    return _config(folder).get("model_type") in ("rankgrad_feature_ranker", _CASCADE)


def load_feature_ranker(folder: Path) -> FeatureModel:
    """Open a trained feature ranker, a cascade of them, a checkpoint of one of these, or its bundle.

    Raises:
        InputError: for a model that reads texts, a folder that holds no ranker, or damaged files.
        MissingExtraError: without onnxruntime (a bundle), safetensors or pytorch_lightning (a checkpoint).
    """
    if is_checkpoint(folder) or not is_bundle(folder):
        return load_trained_features(folder)
    from rankgrad import deploy

    model = deploy.load(folder)
    if isinstance(model, deploy.FeatureRanker):
        return model
    raise _no_features(folder)


def load_trained_features(path: Path) -> TrainedFeatureModel:
    """Open the folder or the checkpoint of a feature ranker, or of a cascade of them.

    Raises:
        InputError: for a model that reads texts, a folder that holds no ranker, or damaged files.
        MissingExtraError: without safetensors (a folder) or pytorch_lightning (a checkpoint).
    """
    if is_checkpoint(path):
        return load_checkpoint(path)
    if not is_feature_ranker(path):
        raise _no_features(path)
    if _config(path)["model_type"] == _CASCADE:
        from rankgrad.pipeline import FeatureCascade

        return FeatureCascade.from_pretrained(path)
    from rankgrad.models import FeatureRanker

    return FeatureRanker.from_pretrained(path)


def load_trained(folder: Path) -> TrainedModel:
    """Open a trained model folder of a cross-encoder, a causal reranker or a ColBERT.

    Raises:
        InputError: for a folder that holds no ranker of texts, or damaged files.
        MissingExtraError: without transformers.
    """
    from rankgrad._checks import require

    if is_feature_ranker(folder):
        raise _reads_no_texts(folder)
    require("transformers", "text")
    from rankgrad.models import CausalReranker, ColBERT, CrossEncoder

    kind = _kind(folder)
    if kind in _ENCODERS:
        raise InputError(f"{folder} holds a {_ENCODERS[kind]}, no ranker: `rankgrad encode` makes vectors with it")
    if kind == _IMAGES:
        raise InputError(
            f"{folder} holds an ImageColBERT, which ranks pictures: open it with rankgrad.models.ImageColBERT, see "
            "docs/images.md"
        )
    if kind == "causal_reranker":
        return CausalReranker.from_pretrained(folder)
    if _is_colbert(folder):
        return ColBERT.from_pretrained(folder)
    if _is_cross_encoder(folder):
        return CrossEncoder.from_pretrained(folder)
    what = "an encoder but no ranker" if (folder / "config.json").is_file() else "no model (there is no config.json)"
    raise InputError(
        f"{folder} holds {what}: train one with `rankgrad fit`, or pass the folder that save_pretrained wrote"
    )


def load_exportable(folder: Path) -> TextModel:
    """Open a trained model folder of any kind that reads texts.

    Raises:
        InputError: for a folder that holds no trained model of texts, or damaged files.
        MissingExtraError: without transformers.
    """
    from rankgrad._checks import require

    require("transformers", "text")
    from rankgrad.models import DenseEncoder, SparseEncoder

    kind = _kind(folder)
    if kind == "dense_encoder":
        return DenseEncoder.from_pretrained(folder)
    if kind == "sparse_encoder":
        return SparseEncoder.from_pretrained(folder)
    return load_trained(folder)


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


def _kind(folder: Path) -> str | None:
    """The kind of a folder that is neither a cross-encoder nor a ColBERT: its own word, or that of other libraries."""
    if _is_colbert(folder):
        return None
    settings = _json(folder / "rankgrad_model.json", {})
    if settings:
        return settings.get("kind")
    listed = [module for module in _json(folder / "modules.json", []) if isinstance(module, dict)]
    modules = [str(module.get("type", "")).rpartition(".")[2] for module in listed]
    if "SpladePooling" in modules:
        return "sparse_encoder"
    if "Pooling" in modules:
        return "dense_encoder"
    names = _config(folder).get("architectures") or []
    return "causal_reranker" if any(str(name).endswith("ForCausalLM") for name in names) else None


def _config(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says; nothing where it cannot be read."""
    return _json(folder / "config.json", {})


def _json(path: Path, nothing: Content) -> Content:
    """What a file says; ``nothing`` where it cannot be read, or says something of another kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return nothing
    return content if isinstance(content, type(nothing)) else nothing


def _other_kind(folder: Path, model: object) -> InputError:
    return InputError(
        f"{folder} holds a {type(model).__name__}; this command takes a cross-encoder, a causal reranker or a "
        f"ColBERT: rank with `python -m rankgrad.deploy {folder} QUERY DOCUMENT ...`, or open it with "
        "rankgrad.deploy.load"
    )


def _no_features(folder: Path) -> InputError:
    return InputError(f"{folder} holds no feature ranker: rows of features need one, `rankgrad fit` trains it")


def _reads_no_texts(folder: Path) -> InputError:
    what = "cascade of feature rankers" if _config(folder).get("model_type") == _CASCADE else "feature ranker"
    return InputError(
        f"{folder} holds a {what}, which reads rows of features, not texts: measure it with `rankgrad evaluate "
        f"--data ROWS.txt --model {folder}`, or score rows with `python -m rankgrad.deploy BUNDLE ROWS.txt`"
    )

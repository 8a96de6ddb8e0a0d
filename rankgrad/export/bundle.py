"""A folder that runs without torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rankgrad import __version__, deploy
from rankgrad._checks import InputError, check_texts
from rankgrad._files import atomic_folder, check_replaceable
from rankgrad.deploy.bundle import FORMAT_VERSION, MARKER, fingerprint
from rankgrad.export.card import card
from rankgrad.export.feature_bundle import write_feature_bundle
from rankgrad.export.files import longest, tokenizer_settings, write_config, write_tokenizer
from rankgrad.export.onnx import Ranker, export_onnx, exportable
from rankgrad.export.parity import Lists, ParityError, ScoreParity, check_shapes, compare_scores
from rankgrad.export.probe import probe_lists
from rankgrad.export.quantize import quantize_onnx
from rankgrad.export.samples import other_files, text_samples
from rankgrad.models import ColBERT, CrossEncoder, FeatureRanker
from rankgrad.models._folder import write_json

_FILES = {"fp32": "onnx/model.onnx", "int8": "onnx/model_quantized.onnx"}
_LOGGER = logging.getLogger(__name__)


def export_bundle(
    model: Ranker | FeatureRanker,
    folder: str | Path,
    *,
    quantize: bool = True,
    calibration_texts: Lists | None = None,
    feature_names: Sequence[str] | None = None,
    tolerance: float = 1e-5,
    rank_agreement: float = 0.8,
    overwrite: bool = False,
    progress: Callable[[str], None] = _LOGGER.info,
) -> dict[str, Any]:
    """Write a model as a bundle: ONNX graphs, tokenizer, configuration, a card with the measured agreement with torch.

    A feature ranker's bundle has no tokenizer and one graph, in fp32, with the fitted transform inside.

    If a graph disagrees with torch, or anything else fails, nothing is written, and what was at ``folder`` stays.

    Args:
        model: a :class:`rankgrad.models.CrossEncoder`, :class:`rankgrad.models.ColBERT` or
            :class:`rankgrad.models.FeatureRanker`; it is left as it was.
        folder: a new or empty folder, or an older bundle, which is replaced.
        quantize: write the int8 graph too; of a feature ranker there is none, it is too small to gain by it.
        calibration_texts: queries, each with its documents, on which scores are compared; None takes a few built-in
            ones. The closer they are to the texts in use, the more the card's numbers say.
        feature_names: of a feature ranker's columns, in their order; None = they are not recorded.
        tolerance: largest difference of the fp32 graph's output to torch's, relative to the largest output (but at
            least 1).
        rank_agreement: lowest mean Kendall tau between the orders that the int8 graph and torch give.
        overwrite: replace a folder that holds other files, too.
        progress: called with one line before each step; by default the line is logged.

    Returns:
        What ``rankgrad.json`` holds: kind, settings, files, parity.

    Raises:
        TypeError: for a model of another kind.
        ParityError: when a graph disagrees with torch.
        InputError: for texts that cannot be compared, names that do not fit, a transform that is not fitted, or a
            folder that may not be replaced.
        MissingExtraError: without onnx, onnxscript or onnxruntime.
    """
    if not isinstance(model, CrossEncoder | ColBERT | FeatureRanker):
        raise TypeError(f"model: expected a CrossEncoder, a ColBERT or a FeatureRanker, got {type(model).__name__}")
    folder = Path(folder)
    if not (overwrite and folder.is_dir()):
        check_replaceable(folder, MARKER)
    if isinstance(model, FeatureRanker):
        if calibration_texts is not None:
            raise InputError("calibration_texts: a FeatureRanker reads no texts; leave them out")
        return write_feature_bundle(model, folder, feature_names=feature_names, tolerance=tolerance, progress=progress)
    if feature_names is not None:
        raise InputError(f"feature_names: a {type(model).__name__} reads texts and has no features; leave them out")
    if isinstance(model, ColBERT) and model.pruner is not None:
        raise InputError(
            "model: its graph would keep all tokens, and this model prunes some; set model.pruner = None first"
        )
    lists = _checked(probe_lists() if calibration_texts is None else calibration_texts)
    reference = exportable(model)
    with atomic_folder(folder) as temporary:
        (temporary / "onnx").mkdir()
        write_config(reference, temporary)
        write_tokenizer(reference, temporary)
        progress("exporting the fp32 graph")
        declared = export_onnx(reference, temporary / _FILES["fp32"])
        progress("comparing it with torch")
        shapes = check_shapes(reference, deploy.Graph(temporary / _FILES["fp32"], threads=1), tolerance=tolerance)
        parity = {
            "tolerance": tolerance,
            "rank_agreement": rank_agreement,
            "shapes": [each.shape._asdict() | {"difference": each.difference} for each in shapes],
            "lists": len(lists),
            "documents": sum(len(documents) for _, documents in lists),
        }
        content = {**_settings(reference), **declared._asdict(), "graphs": {}, "parity": parity}
        _add_variant(content, temporary, "fp32", reference, lists)
        if quantize:
            progress("quantizing to int8 and comparing again")
            quantize_onnx(temporary / _FILES["fp32"], temporary / _FILES["int8"])
            tau = _add_variant(content, temporary, "int8", reference, lists).kendall_tau
            if not tau >= rank_agreement:
                raise ParityError(
                    f"the int8 graph ranks otherwise than torch: mean Kendall tau {tau:.3f}, bound {rank_agreement}; "
                    "nothing is written. Pass quantize=False, or a lower rank_agreement"
                )
        content["samples"] = text_samples(reference, temporary, list(content["graphs"]), tolerance=tolerance)
        content["files"] = other_files(temporary, content["graphs"])
        (temporary / "README.md").write_text(card(content, folder.resolve().name), encoding="utf-8")
        write_json(temporary / MARKER, content)
    return content


def _settings(model: Ranker) -> dict[str, Any]:
    """The head of ``rankgrad.json``: what the model is."""
    cross_encoder = isinstance(model, CrossEncoder)
    return {
        "format_version": FORMAT_VERSION,
        "rankgrad_version": __version__,
        "kind": "cross_encoder" if cross_encoder else "colbert",
        "tokenizer": tokenizer_settings(model),
        "dim": 1 if cross_encoder else model.dim,
        "longest": longest(model),
    }


def _checked(lists: Lists) -> Lists:
    check_texts([query for query, _ in lists], "query of calibration_texts")
    for query, documents in lists:
        check_texts(documents, f"document of the query {query!r} in calibration_texts")
    return lists


def _add_variant(
    content: dict[str, Any], folder: Path, variant: deploy.Variant, model: Ranker, lists: Lists
) -> ScoreParity:
    """Enter a graph's file, compare its scores with torch's through ``rankgrad.deploy``, and enter what was found."""
    path = folder / _FILES[variant]
    content["graphs"][variant] = {"file": _FILES[variant], **fingerprint(path)}
    write_json(folder / MARKER, content)
    exported = deploy.load(folder, variant=variant, threads=1)
    found = compare_scores(model, exported, lists)  # type: ignore[arg-type]
    content["parity"][variant] = found._asdict()
    return found

"""A feature ranker, or a cascade of them, as a folder that runs without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rankgrad import __version__, deploy
from rankgrad._checks import InputError
from rankgrad._files import atomic_folder
from rankgrad.data import FeatureTable
from rankgrad.deploy.bundle import FEATURE_RANKER, FORMAT_VERSION, MARKER
from rankgrad.export.feature_card import feature_card
from rankgrad.export.feature_measured import check_judged_rows, feature_latency, feature_quality
from rankgrad.export.feature_parity import check_lists, check_ragged
from rankgrad.export.feature_probe import FeatureModel
from rankgrad.export.graph_files import graph_entry
from rankgrad.export.onnx import export_onnx, exportable
from rankgrad.export.provenance import provenance
from rankgrad.export.samples import feature_samples, other_files
from rankgrad.models._folder import write_json
from rankgrad.pipeline import FeatureCascade

_FILE = "model.onnx"


def write_feature_bundle(
    model: FeatureModel,
    folder: Path,
    *,
    feature_names: Sequence[str] | None,
    tolerance: float,
    quality: FeatureTable | None = None,
    ndcg_tolerance: float = 0.5,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Write a feature ranker's bundle: see :func:`rankgrad.export.export_bundle`."""
    if feature_names is not None:
        _check_names(feature_names, model.features)
    reference = exportable(model)
    reference.transform.check_fitted()
    if quality is not None:
        check_judged_rows(quality, reference.features)
    with atomic_folder(folder) as temporary:
        progress("exporting the fp32 graph (a feature ranker has no int8 graph: there is little to save)")
        declared = export_onnx(reference, temporary / _FILE)
        progress("comparing it with torch")
        shapes = check_lists(reference, deploy.Graph(temporary / _FILE, threads=1), tolerance=tolerance)
        content: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "rankgrad_version": __version__,
            "kind": FEATURE_RANKER,
            "features": {
                "count": reference.features,
                "names": None if feature_names is None else list(feature_names),
                "listwise": isinstance(reference, FeatureCascade) or len(reference.attention) > 0,
            },
            **_stages(reference),
            "provenance": {"settings": dict(reference.settings), **provenance(reference)},
            **declared._asdict(),
            "graphs": {"fp32": graph_entry(temporary, _FILE)},
        }
        write_json(temporary / MARKER, content)
        exported: Any = deploy.load(temporary, threads=1)
        content["parity"] = {
            "tolerance": tolerance,
            "shapes": [each.shape._asdict() | {"difference": each.difference} for each in shapes],
            "ragged_difference": check_ragged(reference, exported, tolerance=tolerance),
        }
        if quality is not None:
            progress(f"measuring nDCG@10 on {len(quality.queries)} judged lists")
            content["quality"] = feature_quality(reference, exported, quality, tolerance=ndcg_tolerance)
            content["graphs"]["fp32"]["fit"] = content["quality"]["variants"]["fp32"]["fit"]
        content["latency"] = feature_latency(reference, exported)
        content["samples"] = feature_samples(reference, temporary, tolerance=tolerance)
        content["files"] = other_files(temporary, content["graphs"])
        (temporary / "README.md").write_text(feature_card(content, folder.resolve().name), encoding="utf-8")
        write_json(temporary / MARKER, content)
    return content


def _stages(model: FeatureModel) -> dict[str, Any]:
    """What ``rankgrad.json`` says of a cascade alone: the cut-offs that run, not those that it began with.

    Loading needs none of it; the card and ``rankgrad evaluate`` read it.
    """
    if not isinstance(model, FeatureCascade):
        return {}
    costs = [round(cost, 9) for cost in model.cascade.costs.tolist()]
    named = {name: model.settings[name] for name in ("columns", "hidden")}
    return {"cascade": {"cutoffs": list(model.cascade.hard_cutoffs), "costs": costs, **named}}


def _check_names(names: Sequence[str], count: int) -> None:
    if isinstance(names, str) or len(names) != count:
        given = "one string" if isinstance(names, str) else f"{len(names)} names"
        raise InputError(f"feature_names: expected {count} names, one a feature, got {given}")
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise InputError(f"feature_names: {twice!r} occurs twice: give each feature its own name")

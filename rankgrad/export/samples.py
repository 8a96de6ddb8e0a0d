"""What a bundle records so that ``rankgrad verify`` can tell, without torch, that it still gives torch's scores."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rankgrad import deploy
from rankgrad.deploy.bundle import MARKER, fingerprint, graph_files
from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.deploy.samples import compare_samples
from rankgrad.export.cascade_probe import settled_rows
from rankgrad.export.feature_parity import torch_scores
from rankgrad.export.feature_probe import FeatureModel, ListShape, random_rows
from rankgrad.export.measured import check_difference
from rankgrad.export.onnx import Ranker
from rankgrad.export.parity import _torch_scores, cuts_terms
from rankgrad.export.probe import probe_lists
from rankgrad.export.subject import Subject
from rankgrad.pipeline import FeatureCascade

# Eight documents a list: one pair of them the other way round is little of the agreement of the orders.
_LISTS, _DOCUMENTS, _ROWS = 2, 8, 4
# Of a cascade one list goes beyond the first cut-off where that is no further away.
_MOST_ROWS = 64
_CARD = "README.md"


def text_samples(
    model: Ranker | Subject,
    folder: Path,
    variants: Sequence[deploy.Variant],
    *,
    tolerance: float,
    rank_agreement: float,
) -> dict[str, Any]:
    """A few built-in texts with torch's scores, and how far each graph is from them.

    The texts are ours, never the caller's, whose texts need not go where the bundle goes.

    Raises:
        ParityError: as :func:`rankgrad.export.measured.check_difference`.
    """
    lists = []
    for query, documents in probe_lists()[:_LISTS]:
        chosen = list(documents[:_DOCUMENTS])
        lists.append({"query": query, "documents": chosen, "scores": _torch_scores(model, query, chosen).tolist()})
    samples = {"tolerance": tolerance, "rank_agreement": rank_agreement, "lists": lists}
    # Where terms are cut by rank a document may rightly differ.
    return _compared(samples, folder, variants, tolerance=sys.float_info.max if cuts_terms(model) else tolerance)


def feature_samples(model: FeatureModel, folder: Path, *, tolerance: float) -> dict[str, Any]:
    """A few random rows of features with torch's scores, and how far the graph is from them.

    Raises:
        ParityError: as :func:`rankgrad.export.measured.check_difference`.
    """
    lists, sizes = [], [_ROWS] * _LISTS
    if isinstance(model, FeatureCascade):
        sizes[-1] = min(model.cascade.hard_cutoffs[0] + _ROWS, _MOST_ROWS)
    for seed, size in enumerate(sizes):
        rows = random_rows(model, ListShape(1, size), seed=seed)
        if isinstance(model, FeatureCascade):
            kept = settled_rows(model, rows, tolerance=tolerance).mask[0]
            rows = PaddedRows(rows.features[:, kept], rows.mask[:, kept])
        known = np.where(np.isfinite(rows.features), rows.features, np.nan)
        scores = torch_scores(model, PaddedRows(known, rows.mask))[0]
        features = [[None if np.isnan(value) else float(value) for value in row] for row in known[0]]
        lists.append({"features": features, "scores": scores.tolist()})
    return _compared({"tolerance": tolerance, "lists": lists}, folder, ["fp32"], tolerance=tolerance)


def other_files(folder: Path, graphs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file beside the graphs; the card may be rewritten, and is left out."""
    known = {MARKER, _CARD, *(name for graph in graphs.values() for name in graph_files(graph))}
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: fingerprint(path) for name, path in paths.items() if name not in known}


def _compared(
    samples: dict[str, Any], folder: Path, variants: Sequence[deploy.Variant], *, tolerance: float
) -> dict[str, Any]:
    found = {name: compare_samples(deploy.load(folder, variant=name, threads=1), samples) for name in variants}
    for name, each in found.items():
        check_difference(name, each.difference, tolerance=tolerance)
    return samples | {
        "difference": {name: each.difference for name, each in found.items()},
        "agreement": {name: each.agreement for name, each in found.items()},
    }

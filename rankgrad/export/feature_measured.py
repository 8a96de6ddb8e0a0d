"""What is measured of a feature ranker's graph: time a row, quality on judged lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.data import FeatureTable
from rankgrad.deploy.feature_ranker import PaddedRows
from rankgrad.export.feature_parity import torch_scores
from rankgrad.export.feature_probe import FeatureModel, ListShape, random_rows
from rankgrad.export.latency import machine, measure_latency
from rankgrad.export.quality import CUT_OFF, Quality
from rankgrad.metrics import ndcg

TIMED = 100
"""Rows of the list that is timed."""


def feature_latency(model: FeatureModel, exported: deploy.FeatureRanker) -> dict[str, Any]:
    """Milliseconds a row of one list, scored by the bundle.

    Args:
        model: what was exported.
        exported: the bundle, on one thread.
    """
    rows = random_rows(model, ListShape(1, TIMED)).features
    found = measure_latency({"fp32": lambda: exported.score([rows[0]])})["fp32"]
    times = {name: value / TIMED for name, value in found._asdict().items()}
    return {"threads": 1, "documents": TIMED, **machine(), "variants": {"fp32": times}}


def feature_quality(
    model: FeatureModel, exported: deploy.FeatureRanker, judged: FeatureTable, *, tolerance: float
) -> dict[str, Any]:
    """The mean nDCG@10 of torch and of the graph, and whether the graph loses too much.

    Args:
        model: what was exported, in eval mode.
        exported: the bundle.
        judged: rows with grades.
        tolerance: points (hundredths of nDCG) that may be lost.
    """
    lists = _lists(judged.features.numpy(), judged)
    mask = [np.ones((1, len(rows)), dtype=bool) for rows in lists]
    torchs = [torch_scores(model, PaddedRows(rows[None], real))[0] for rows, real in zip(lists, mask, strict=True)]
    reference, found = (_mean_ndcg(scores, judged) for scores in (torchs, list(exported.score(lists))))
    loss = 100 * (reference - found)
    return {
        "queries": len(lists),
        "documents": len(judged.labels),
        "tolerance": tolerance,
        "torch": reference,
        "variants": {"fp32": Quality(found, loss, fit=loss <= tolerance)._asdict()},
    }


def check_judged_rows(judged: FeatureTable, features: int) -> None:
    """Refuse rows that say nothing of quality.

    Raises:
        InputError: for another number of features, or no grade above 0.
    """
    if judged.features.shape[1] != features:
        raise InputError(f"quality: its rows have {judged.features.shape[1]} features, and the model reads {features}")
    if not bool((judged.labels > 0).any()):
        raise InputError("quality: no row has a grade above 0, every order is as good: pass judged lists")


def _mean_ndcg(scores: Sequence[np.ndarray], judged: FeatureTable) -> float:
    grades = _lists(judged.labels.numpy(), judged)
    values = [
        ndcg(torch.from_numpy(one), torch.from_numpy(other), k=CUT_OFF)
        for one, other in zip(scores, grades, strict=True)
    ]
    return float(torch.stack(values).mean())


def _lists(values: np.ndarray, judged: FeatureTable) -> list[np.ndarray]:
    """The part of each query."""
    return np.split(values, judged.cu_seqlens[1:-1].numpy())

"""How much of the score before it each model adds to its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rankgrad.cli._systems import Depths, Weights, stages_of
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import LateInteractionReranker
from rankgrad.retrieve import BM25
from rankgrad.training import fit_first_stage_weight

if TYPE_CHECKING:
    from rankgrad.data import Task


def fit_weights(folders: Sequence[Path], task: Task, depths: Depths) -> Weights:
    """Choose the weights on a task's queries, never those that will be measured, with the first model of each kind.

    Args:
        folders: models or bundles.
        task: validation queries.
        depths: how many documents each stage handles.
    """
    stages = [stage.module for folder in folders for stage in stages_of(folder, task.documents.texts, depths)]
    late = next((stage for stage in stages if isinstance(stage, LateInteractionReranker)), None)
    cross = next((stage for stage in stages if not isinstance(stage, LateInteractionReranker)), None)
    bm25 = BM25(task.documents.texts)
    behind_bm25 = partial(bm25, k=depths.retrieved)
    weights = Weights()
    if late is not None:
        weights = weights._replace(late=fit_first_stage_weight(late, behind_bm25, task))
    if cross is not None:
        weights = weights._replace(cross=fit_first_stage_weight(cross, behind_bm25, task))
    if late is not None and cross is not None:
        behind_late = Pipeline(bm25, rerank=[late], k=depths.retrieved)
        weights = weights._replace(cascade=fit_first_stage_weight(cross, behind_late, task))
    return weights


def describe(weights: Weights) -> str:
    """The weights in words."""
    return (
        f"{weights.late:g} of BM25 in ColBERT, {weights.cross:g} of BM25 in the cross-encoder, "
        f"{weights.cascade:g} of ColBERT in the cross-encoder behind it"
    )

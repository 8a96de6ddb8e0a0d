"""The systems that ``rankgrad evaluate`` compares, made of BM25 and the models given."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rankgrad import deploy
from rankgrad.cli._load import is_bundle, load_bundle, load_trained
from rankgrad.cli._names import model_names
from rankgrad.models import ColBERT
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import CrossEncoderReranker, LateInteractionReranker
from rankgrad.retrieve import BM25
from rankgrad.types import VARIANTS

if TYPE_CHECKING:
    from rankgrad.cli._load import BundleModel, TrainedModel
    from rankgrad.types import Queries, Ranking

BASELINE = "BM25"


class Depths(NamedTuple):
    """How many documents a query each stage handles."""

    retrieved: int
    cross_encoded: int


class Weights(NamedTuple):
    """How much of the incoming score a stage adds to its own: each behind BM25, the last behind a ColBERT."""

    late: float = 0.0
    cross: float = 0.0
    cascade: float = 0.0


NO_WEIGHTS = Weights()


class _Stage(NamedTuple):
    """A model made into a stage, and how it runs: ``torch``, or a variant of its bundle."""

    label: str
    runtime: str
    module: LateInteractionReranker | CrossEncoderReranker


def systems_of(
    folders: Sequence[Path], documents: Sequence[str], depths: Depths, weights: Weights = NO_WEIGHTS
) -> dict[str, Callable[[Queries], Ranking]]:
    """BM25, BM25 then each model, and for each runtime BM25 then its first ColBERT then its first cross-encoder.

    Raises:
        InputError: for a folder that is given twice, holds no ranker, or damaged files.
    """
    stages = [
        stage
        for folder, name in zip(folders, model_names(folders), strict=True)
        for stage in stages_of(folder, documents, depths, weights, name=name)
    ]
    chains: list[tuple[_Stage, ...]] = [(), *((stage,) for stage in stages)]
    for runtime in dict.fromkeys(stage.runtime for stage in stages):
        of_runtime = [stage for stage in stages if stage.runtime == runtime]
        late = [stage for stage in of_runtime if isinstance(stage.module, LateInteractionReranker)]
        cross = [stage for stage in of_runtime if isinstance(stage.module, CrossEncoderReranker)]
        if late and cross:
            chains.append((late[0], cross[0]._replace(module=_behind_late(cross[0].module, weights))))
    bm25 = BM25(documents)
    return {
        " > ".join([BASELINE, *(stage.label for stage in chain)]): Pipeline(
            bm25, rerank=[stage.module for stage in chain], k=depths.retrieved
        )
        for chain in chains
    }


def stages_of(
    folder: Path, documents: Sequence[str], depths: Depths, weights: Weights = NO_WEIGHTS, *, name: str = "model"
) -> Iterator[_Stage]:
    """What is in a folder as stages over ``documents``, one for each way to run it; ``name`` begins their labels."""
    stage: LateInteractionReranker | CrossEncoderReranker
    for label, runtime, model in _open(folder, name):
        if isinstance(model, (ColBERT, deploy.ColBERT)):
            stage = LateInteractionReranker(model, documents, k=depths.retrieved, first_stage_weight=weights.late)
        else:
            stage = CrossEncoderReranker(model, documents, k=depths.cross_encoded, first_stage_weight=weights.cross)
        yield _Stage(label, runtime, stage)


def _behind_late(
    stage: LateInteractionReranker | CrossEncoderReranker, weights: Weights
) -> LateInteractionReranker | CrossEncoderReranker:
    """The same model as a stage of its own: the scores it is given there are on another scale than BM25's."""
    behind = copy.copy(stage)
    behind.first_stage_weight = weights.cascade
    return behind


def _open(folder: Path, name: str) -> Iterator[tuple[str, str, BundleModel | TrainedModel]]:
    """(label, runtime, model) of each way to run what is in a folder."""
    if not is_bundle(folder):
        yield name, "torch", load_trained(folder)
        return
    graphs = deploy.read_settings(folder).graphs
    for variant in VARIANTS:
        if graphs.get(variant):
            yield f"{name} {variant}", variant, load_bundle(folder, variant)

"""The systems that an experiment's file describes: BM25, and models behind it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, cast

import torch

from rankgrad import __version__
from rankgrad._checks import InputError
from rankgrad.cli._rank import open_model
from rankgrad.evaluation import cached_index, folder_fingerprint
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import CrossEncoderReranker, LateInteractionReranker
from rankgrad.retrieve import BM25
from rankgrad.tokens import LateInteractionTokenizer
from rankgrad.types import VARIANTS, Variant

if TYPE_CHECKING:
    from rankgrad.cli.experiment import ExperimentSettings, StageSettings
    from rankgrad.data import Task


class SystemsOf:
    """Builds the systems of a file over one collection after another; each model is opened once.

    Args:
        settings: of the file.

    Raises:
        InputError: for a folder that does not exist, or an unknown variant.
    """

    def __init__(self, settings: ExperimentSettings) -> None:
        self.settings = settings
        self._models: dict[tuple[str, str | None], Any] = {}
        self._digests: dict[str, str] = {}
        for stages in settings.systems.values():
            for stage in stages:
                if not stage.model.is_dir():
                    raise InputError(f"{stage.model} is no folder: name a trained model or a bundle")
                if stage.variant is not None and stage.variant not in VARIANTS:
                    raise InputError(f"variant {stage.variant!r} is unknown: choose one of {', '.join(VARIANTS)}")

    def __call__(self, task: Task) -> dict[str, Pipeline]:
        """The systems over the documents of a task."""
        texts = task.documents.texts
        bm25 = BM25(texts)
        depth = min(self.settings.depth, len(texts))
        indexes: dict[tuple[str, str | None], LateInteractionReranker] = {}
        return {
            name: Pipeline(bm25, rerank=[self._stage(stage, texts, indexes) for stage in stages], k=depth)
            for name, stages in self.settings.systems.items()
        }

    def fingerprints(self) -> dict[str, Any]:
        """By system, what its answers and their times depend on."""
        around = {"rankgrad": __version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
        return {
            name: around | {"depth": self.settings.depth, "rerank": [self._values(stage) for stage in stages]}
            for name, stages in self.settings.systems.items()
        }

    def _values(self, stage: StageSettings) -> dict[str, Any]:
        return stage._asdict() | {"model": self._digest(stage)}

    def _digest(self, stage: StageSettings) -> str:
        name = str(stage.model)
        if name not in self._digests:
            self._digests[name] = folder_fingerprint(stage.model)
        return self._digests[name]

    def _stage(
        self,
        stage: StageSettings,
        texts: tuple[str, ...],
        indexes: dict[tuple[str, str | None], LateInteractionReranker],
    ) -> LateInteractionReranker | CrossEncoderReranker:
        """One stage; those of one ColBERT share their index."""
        key = (str(stage.model), stage.variant)
        if key not in self._models:
            self._models[key] = open_model(stage.model, cast("Variant | None", stage.variant))
        model = self._models[key]
        depth, weight = min(stage.depth, len(texts)), stage.first_stage_weight
        if not isinstance(model.tokenizer, LateInteractionTokenizer):
            return CrossEncoderReranker(model, texts, k=depth, first_stage_weight=weight)
        if key not in indexes:
            indexes[key] = self._indexed(LateInteractionReranker(model, texts), stage)
        late = copy.copy(indexes[key])
        late.k, late.first_stage_weight = depth, weight
        return late

    def _indexed(self, late: LateInteractionReranker, stage: StageSettings) -> LateInteractionReranker:
        if self.settings.cache is None:
            return late.index(progress=True)
        settings = {"model": self._digest(stage), "variant": stage.variant, "rankgrad": __version__}
        return cached_index(late, self.settings.cache / "indexes", settings=settings, progress=True)

"""The systems that an experiment's file describes: first stages, and models behind them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rankgrad import __version__
from rankgrad._checks import InputError
from rankgrad.cli import _experiment_first_stage as kinds
from rankgrad.cli._experiment_models import Models, model_folder
from rankgrad.cli._experiment_retrievers import Retrievers, fingerprint
from rankgrad.evaluation import cached_index
from rankgrad.pipeline import Pipeline
from rankgrad.rerank import CrossEncoderReranker, LateInteractionReranker
from rankgrad.tokens import LateInteractionTokenizer
from rankgrad.types import Variant

if TYPE_CHECKING:
    from rankgrad.cli.experiment import ExperimentSettings, StageSettings, SystemSettings
    from rankgrad.data import Task

Late = dict[tuple[Path, Variant | None], LateInteractionReranker]


class SystemsOf:
    """Builds the systems of a file over one collection after another; each model is opened once.

    Args:
        settings: of the file.
        tasks: of its collections, in their order.
    """

    def __init__(self, settings: ExperimentSettings, tasks: Sequence[Task]) -> None:
        self.settings = settings
        self.models = Models()
        self._names = {task.name: one.names for task, one in zip(tasks, settings.collections, strict=True)}

    def __call__(self, task: Task) -> dict[str, Pipeline]:
        """The systems over the documents of a task.

        Raises:
            InputError: for what cannot be opened or used, with the file and the system.
        """
        first = Retrievers(task, self._names[task.name], self.models, self.settings.cache)
        late: Late = {}
        systems = {}
        for name, system in self.settings.systems.items():
            try:
                systems[name] = self._system(system, task.documents.texts, first, late)
            except InputError as error:
                raise InputError(f"{self.settings.file}: systems: {name}: {error}") from error
        return systems

    def fingerprints(self) -> dict[str, Any]:
        """By system, what its answers and their times depend on."""
        around = {"rankgrad": __version__, "torch": torch.__version__, "threads": torch.get_num_threads()}
        around |= {"depth": self.settings.depth}
        return {
            name: around
            | {
                "first_stage": fingerprint(system.first_stage, self.models),
                "rerank": [stage._asdict() | {"model": self.models.digest(stage.model)} for stage in system.rerank],
            }
            for name, system in self.settings.systems.items()
        }

    def _system(self, system: SystemSettings, texts: tuple[str, ...], first: Retrievers, late: Late) -> Pipeline:
        stages = [self._stage(stage, texts, late) for stage in system.rerank]
        return Pipeline(first(system.first_stage), rerank=stages, k=min(self.settings.depth, len(texts)))

    def _stage(
        self, stage: StageSettings, texts: tuple[str, ...], late: Late
    ) -> LateInteractionReranker | CrossEncoderReranker:
        """One stage; those of one ColBERT share their index."""
        key = (stage.model, stage.variant)
        model = self.models.ranker(*key)
        depth, weight = min(stage.depth, len(texts)), stage.first_stage_weight
        if not isinstance(model.tokenizer, LateInteractionTokenizer):
            return CrossEncoderReranker(model, texts, k=depth, first_stage_weight=weight)
        if key not in late:
            late[key] = self._indexed(LateInteractionReranker(model, texts), stage)
        made = copy.copy(late[key])
        made.k, made.first_stage_weight = depth, weight
        return made

    def _indexed(self, late: LateInteractionReranker, stage: StageSettings) -> LateInteractionReranker:
        if self.settings.cache is None:
            return late.index(progress=True)
        settings = {"model": self.models.digest(stage.model), "variant": stage.variant, "rankgrad": __version__}
        return cached_index(late, self.settings.cache / "indexes", settings=settings, progress=True)


def check_places(settings: ExperimentSettings) -> None:
    """Refuse what is not there before anything is opened.

    Raises:
        InputError: for a folder or a file that does not exist, or a collection without one.
    """
    for name, system in settings.systems.items():
        try:
            for stage in system.rerank:
                _check_folder(stage.model)
            _check_stage(system.first_stage, settings)
        except InputError as error:
            raise InputError(f"{settings.file}: systems: {name}: {error}") from error


def _check_stage(stage: kinds.FirstStageSettings, settings: ExperimentSettings) -> None:
    match stage:
        case kinds.DenseSettings() | kinds.SparseSettings() | kinds.ColBERTSettings():
            _check_folder(model_folder(stage.model) if isinstance(stage, kinds.DenseSettings) else stage.model)
        case kinds.IndexSettings():
            _check_each("index", stage.index, settings)
            for _, folder in stage.index:
                if not folder.is_dir():
                    raise InputError(f"{folder} is no folder: name an index that `rankgrad index` wrote")
            if stage.encoder is not None:
                _check_folder(stage.encoder)
        case kinds.RunSettings():
            _check_each("run", stage.run, settings)
            for _, path in stage.run:
                if not path.is_file():
                    raise InputError(f"{path} is no file: name a run in TREC's format")
        case kinds.FusedSettings():
            for each in stage.of:
                _check_stage(each, settings)


def _check_each(key: str, places: kinds.Places, settings: ExperimentSettings) -> None:
    """Is there one for each collection, and for no other?"""
    names = [one.names for one in settings.collections]
    if [name for name, _ in places] == [""]:
        if len(names) > 1:
            raise InputError(
                f"{key}: one path for {len(names)} collections: write `{key}: {{{names[0][0]}: PATH, ...}}`"
            )
        return
    known = {name for both in names for name in both}
    unknown = [name for name, _ in places if name not in known]
    if unknown:
        raise InputError(f"{key}: {unknown[0]!r} is no collection: choose among {', '.join(data for data, _ in names)}")
    lacking = [data for data, full in names if not {data, full} & dict(places).keys()]
    if lacking:
        raise InputError(f"{key}: nothing for {lacking[0]}: add `{lacking[0]}: PATH`")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name a trained model or a bundle")

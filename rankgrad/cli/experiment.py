"""An experiment written in YAML: systems x metrics x collections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rankgrad._checks import InputError, require
from rankgrad.cli._experiment_file import Part, load_yaml
from rankgrad.cli._experiment_first_stage import BM25Settings, FirstStageSettings, read_first_stage, read_variant
from rankgrad.cli._load import load_collection

if TYPE_CHECKING:
    from rankgrad.data import Task
    from rankgrad.evaluation import Study
    from rankgrad.types import Variant

_TOP = ("collections", "systems", "metrics", "baseline", "depth", "seed", "cache")


class StageSettings(NamedTuple):
    """A model that reorders what came before it.

    Args:
        model: a bundle or a trained model folder.
        depth: documents that it reorders.
        variant: which graph of a bundle; None = fp32.
        first_stage_weight: how much of the incoming score is added to its own.
    """

    model: Path
    depth: int
    variant: Variant | None
    first_stage_weight: float


class SystemSettings(NamedTuple):
    """What finds documents, and the stages behind it."""

    first_stage: FirstStageSettings
    rerank: tuple[StageSettings, ...]


class CollectionSettings(NamedTuple):
    """A collection's judged queries: where they are, which split, how many of them (None = all)."""

    data: str
    split: str
    queries: int | None

    @property
    def names(self) -> tuple[str, str]:
        """What the file calls it elsewhere: without the split, and with it."""
        return self.data, f"{self.data}/{self.split}"


class ExperimentSettings(NamedTuple):
    """What the file says.

    Args:
        file: where it says so.
        collections: what is searched.
        systems: by name.
        metrics: names, the deciding one first.
        baseline: the system that the others are compared with.
        depth: documents that a first stage finds.
        seed: of drawing queries, and of the tests.
        cache: a folder for answers and encoded collections; None keeps nothing.
    """

    file: Path
    collections: tuple[CollectionSettings, ...]
    systems: dict[str, SystemSettings]
    metrics: tuple[str, ...]
    baseline: str
    depth: int
    seed: int
    cache: Path | None


def read_experiment(path: str | Path) -> Study:
    """Read a YAML file and make a study of it: ``read_experiment("experiment.yaml").run()``.

    Paths in it are relative to the folder that the command runs in. Collections are loaded now, models when it runs.

    Raises:
        FileNotFoundError: when the file, or a file of a collection, is missing.
        InputError: for a file that is no YAML, or says something that is unknown or cannot be used.
    """
    from rankgrad.cli._experiment_systems import SystemsOf, check_places
    from rankgrad.cli._measures import parse_measures
    from rankgrad.evaluation import AnswerCache, Study
    from rankgrad.evaluation.values import lower_is_better

    settings = read_settings(path)
    measures = parse_measures(settings.metrics, 1)
    summed = [measure.name for measure in measures if measure.summary != "mean"]
    if summed:
        raise InputError(f"{path}: metrics: {summed[0]} is no mean of queries' values: leave it out")
    if lower_is_better(measures[0].name):
        raise InputError(f"{path}: metrics: {measures[0].name} decides, and lower is better: put another one first")
    check_places(settings)
    if settings.cache is not None and settings.cache.is_file():
        raise InputError(f"{path}: cache: {settings.cache} is a file: name a folder")
    tasks = [_task(one, settings.seed) for one in settings.collections]
    build = SystemsOf(settings, tasks)
    return Study(
        build,
        tasks,
        metrics=measures,
        baseline=settings.baseline,
        seed=settings.seed,
        cache=None if settings.cache is None else AnswerCache(settings.cache / "answers"),
        settings=build.fingerprints() if settings.cache is not None else None,
    )


def read_settings(path: str | Path) -> ExperimentSettings:
    """Read a YAML file without opening what it names.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a file that is no YAML, or says something that is unknown or of the wrong kind.
    """
    require("yaml", "text")
    top = Part(str(path), load_yaml(Path(path)))
    top.only(*_TOP)
    depth = top.number("depth", 100)
    systems = {name: _system(part, depth) for name, part in top.mapping("systems").items()}
    baseline = top.text("baseline", next(iter(systems)))
    if baseline not in systems:
        raise InputError(f"{path}: baseline: {baseline!r} is no system: choose one of {', '.join(systems)}")
    return ExperimentSettings(
        file=Path(path),
        collections=tuple(_collection(part) for part in top.parts("collections")),
        systems=systems,
        metrics=tuple(top.texts("metrics", ["nDCG@10", "MRR@10", f"recall@{depth}"])),
        baseline=baseline,
        depth=depth,
        seed=top.number("seed", 0, least=0),
        cache=Path(top.text("cache")) if top.has("cache") else None,
    )


def _collection(part: Part) -> CollectionSettings:
    part.only("data", "split", "queries")
    queries = part.number("queries") if part.has("queries") else None
    return CollectionSettings(part.text("data"), part.text("split", "test"), queries)


def _system(part: Part, depth: int) -> SystemSettings:
    part.only("first_stage", "rerank")
    first = read_first_stage(part.kind("first_stage")) if part.has("first_stage") else BM25Settings()
    rerank = tuple(_stage(each, depth) for each in part.parts("rerank")) if part.has("rerank") else ()
    return SystemSettings(first, rerank)


def _stage(part: Part, depth: int) -> StageSettings:
    part.only("model", "depth", "variant", "first_stage_weight")
    return StageSettings(
        Path(part.text("model")),
        part.number("depth", depth),
        read_variant(part),
        part.real("first_stage_weight", 0.0),
    )


def _task(settings: CollectionSettings, seed: int) -> Task:
    task: Any = load_collection(settings.data).task(settings.split)
    return task if settings.queries is None else task.sample(settings.queries, seed)

"""Systems x metrics x collections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from rankgrad._checks import InputError
from rankgrad.data import Task
from rankgrad.evaluation.answer_cache import AnswerCache
from rankgrad.evaluation.experiment import Experiment
from rankgrad.evaluation.measure import System
from rankgrad.evaluation.study_report import StudyReport
from rankgrad.evaluation.values import Metric

SystemBuilder: TypeAlias = Callable[[Task], Mapping[str, System]]


class Study:
    """Compare the same systems on several collections: an :class:`Experiment` each, and all of them together.

    Args:
        build: makes the systems over the documents of a task; called for one task after the other, so that one
            collection's indexes are in memory at a time.
        tasks: each with a name of its own.
        metrics: the first one decides: its p-values are corrected for the number of systems, and over the whole study
            for systems times collections.
        baseline: the name of the system that the others are compared with.
        seed: of the resampling behind intervals and p-values.
        cache, settings: as in :class:`Experiment`.

    Raises:
        InputError: for no tasks, or two of one name.

    Example:
        >>> from rankgrad.data import Texts
        >>> from rankgrad.retrieve import BM25
        >>> def build(task):
        ...     bm25 = BM25(task.documents.texts)
        ...     return {"BM25": lambda queries: bm25(queries, 1)}
        >>> documents, queries = Texts(("1", "2"), ("a cat", "a dog")), Texts(("q",), ("dog",))
        >>> tasks = [Task(name, documents, queries, {"q": {"2": 1}}) for name in ("one", "two")]
        >>> report = Study(build, tasks, baseline="BM25").run(progress=False)
        >>> report.mean("BM25", "nDCG@10")
        1.0
    """

    def __init__(
        self,
        build: SystemBuilder,
        tasks: Sequence[Task],
        *,
        metrics: Sequence[Metric] | None = None,
        baseline: str,
        seed: int = 0,
        cache: AnswerCache | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if not tasks:
            raise InputError("no tasks given: a study needs at least one collection")
        repeated = [name for name, times in Counter(task.name for task in tasks).items() if times > 1]
        if repeated:
            raise InputError(f"task {repeated[0]!r} occurs twice: give each its own name")
        self.build = build
        self.tasks = tuple(tasks)
        self.metrics = metrics
        self.baseline = baseline
        self.seed = seed
        self.cache = cache
        self.settings = settings

    def run(self, *, progress: bool = True) -> StudyReport:
        """Build, ask, time, score and compare, collection by collection.

        Args:
            progress: show bars on stderr.

        Raises:
            InputError: when collections get different systems, and whatever :meth:`Experiment.run` refuses.
            TypeError: when a system gives something other than a ranking.
        """
        reports = []
        for task in self.tasks:
            systems = self.build(task)
            names = [system.name for system in reports[0].systems] if reports else list(systems)
            if list(systems) != names:
                raise InputError(
                    f"{task.name} has the systems {list(systems)}, others have {names}: build the same ones"
                )
            experiment = Experiment(
                systems,
                task,
                metrics=self.metrics,
                baseline=self.baseline,
                seed=self.seed,
                cache=self.cache,
                settings=self.settings,
            )
            reports.append(experiment.run(progress=progress))
        return StudyReport(tuple(reports))

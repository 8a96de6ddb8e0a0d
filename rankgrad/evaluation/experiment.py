"""Systems x metrics on one task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.data import Task
from rankgrad.evaluation.compare import compare
from rankgrad.evaluation.measure import Measured, System, measure
from rankgrad.evaluation.progress import progress_bar
from rankgrad.evaluation.report import Report, SystemResult
from rankgrad.metrics import NDCG, Recall, ReciprocalRank
from rankgrad.rerank import LateInteractionReranker


class Metric(Protocol):
    """What an experiment needs of a metric: the modules of :mod:`rankgrad.metrics`."""

    @property
    def name(self) -> str:
        """The metric's name in tables."""
        ...

    def __call__(
        self, scores: Tensor, labels: Tensor, mask: Tensor | None = None, *, judged: Tensor | None = None
    ) -> Tensor:
        """One value a query."""
        ...


class Experiment:
    """Compare systems on the queries of a task.

    Every system answers every query, one at a time, and is timed doing so; the same answers are scored. Modules run in
    evaluation mode without gradients. Late-interaction stages encode their collection beforehand, off the clock.

    Args:
        systems: by name, something that makes a ranking of query texts, such as a :class:`rankgrad.pipeline.Pipeline`.
        task: documents, queries and judgements.
        metrics: the first one decides: its p-values are corrected for the number of systems.
        baseline: the name of the system that the others are compared with.
        seed: of the resampling behind intervals and p-values.

    Raises:
        InputError: for a task without queries, no metrics, a baseline that is not among the systems, or a name that
            occurs
            twice.

    Example:
        >>> from rankgrad.data import Texts
        >>> from rankgrad.retrieve import BM25
        >>> documents = Texts(("d1", "d2"), ("the cat sat on a mat", "dogs ran home"))
        >>> task = Task("pets", documents, Texts(("q1", "q2"), ("cats", "dog")), {"q1": {"d1": 1}, "q2": {"d2": 1}})
        >>> bm25 = BM25(documents.texts)
        >>> report = Experiment({"BM25": lambda queries: bm25(queries, 2)}, task, baseline="BM25").run(progress=False)
        >>> report.systems[0].mean("nDCG@10")
        1.0
    """

    def __init__(
        self,
        systems: Mapping[str, System],
        task: Task,
        *,
        metrics: Sequence[Metric] | None = None,
        baseline: str,
        seed: int = 0,
    ) -> None:
        self.systems = dict(systems)
        self.task = task
        self.metrics = (NDCG(k=10), ReciprocalRank(k=10), Recall(k=100)) if metrics is None else tuple(metrics)
        self.baseline = baseline
        self.seed = seed
        if len(task.queries) == 0:
            raise InputError(f"task {task.name!r} has no queries: choose another split")
        if not self.metrics:
            raise InputError("no metrics given: pass at least one, such as NDCG(k=10)")
        if baseline not in self.systems:
            raise InputError(f"baseline={baseline!r} is no system: choose one of {', '.join(map(repr, self.systems))}")
        for what, names in (("system", self.systems), ("metric", [metric.name for metric in self.metrics])):
            repeated = [name for name, times in Counter(name.strip() for name in names).items() if times > 1]
            if repeated:
                raise InputError(f"{what} {repeated[0]!r} occurs twice: give each its own name")

    def run(self, *, progress: bool = True) -> Report:
        """Ask, time, score and compare.

        Args:
            progress: show bars on stderr.

        Raises:
            InputError: what a system refuses, such as an empty query.
            TypeError: when a system gives something other than a ranking.
        """
        for system in self.systems.values():
            for stage in system.modules() if isinstance(system, nn.Module) else ():
                if isinstance(stage, LateInteractionReranker) and stage.embeddings is None:
                    stage.index(progress=progress)
        measured = {}
        with progress_bar(len(self.systems) * len(self.task.queries), shown=progress) as starts:
            for name, system in self.systems.items():
                with frozen(system):
                    measured[name] = measure(system, self.task.queries.texts, name=name, step=starts(name))
        return self._report(measured)

    def _report(self, measured: Mapping[str, Measured]) -> Report:
        values = {name: self._values(one) for name, one in measured.items()}
        return Report(
            collection=self.task.name,
            documents=len(self.task.documents),
            queries=self.task.queries.ids,
            baseline=self.baseline,
            metrics=tuple(metric.name for metric in self.metrics),
            systems=tuple(SystemResult(name, values[name], tuple(one.milliseconds)) for name, one in measured.items()),
            comparisons=compare(values, self.baseline, seed=self.seed),
            threads=torch.get_num_threads(),
            seed=self.seed,
            runs={name: self.task.run(one.ranking) for name, one in measured.items()},
        )

    def _values(self, measured: Measured) -> dict[str, tuple[float, ...]]:
        """Each metric's value of each query."""
        ranking = measured.ranking
        labels, judged = self.task.labels(ranking), self.task.judged()
        return {
            metric.name: tuple(metric(ranking.scores, labels, ranking.mask, judged=judged).tolist())
            for metric in self.metrics
        }

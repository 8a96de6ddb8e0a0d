"""Systems x metrics on one task; on several, see :class:`rankgrad.evaluation.Study`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.data import Task
from rankgrad.evaluation.answer_cache import AnswerCache
from rankgrad.evaluation.compare import compare
from rankgrad.evaluation.measure import Measured, System, measure
from rankgrad.evaluation.progress import progress_bar
from rankgrad.evaluation.report import Report, SystemResult
from rankgrad.evaluation.values import Metric, lower_is_better, metric_values
from rankgrad.metrics import NDCG, Recall, ReciprocalRank
from rankgrad.rerank import LateInteractionReranker


class Experiment:
    """Compare systems on the queries of a task.

    Every system answers every query, one at a time, and is timed doing so; the same answers are scored. Modules run in
    evaluation mode without gradients. Late-interaction stages encode their collection beforehand, off the clock.

    Args:
        systems: by name, something that makes a ranking of query texts, such as a :class:`rankgrad.pipeline.Pipeline`.
        task: documents, queries and judgements.
        metrics: the first one decides: its p-values are corrected for the number of systems. They are called with
            labels of -1 for what nobody judged; of equal scores the greatest document id ranks first.
        baseline: the name of the system that the others are compared with.
        seed: of the resampling behind intervals and p-values.
        cache: where answers are kept from run to run.
        settings: by system, plain values that say all that its answers depend on. Only the systems named here are kept
            in the cache and taken from it.

    Raises:
        InputError: for a task without queries, no metrics, a first one of which lower is better, a baseline that is not
            among the systems, a name that occurs twice, or settings of a system that is not there.

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
        cache: AnswerCache | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.systems = dict(systems)
        self.task = task
        self.metrics = (NDCG(k=10), ReciprocalRank(k=10), Recall(k=100)) if metrics is None else tuple(metrics)
        self.baseline = baseline
        self.seed = seed
        self.cache = cache
        self.settings = dict(settings or {})
        if len(task.queries) == 0:
            raise InputError(f"task {task.name!r} has no queries: choose another split")
        if not self.metrics:
            raise InputError("no metrics given: pass at least one, such as NDCG(k=10)")
        if lower_is_better(self.metrics[0].name):
            raise InputError(
                f"metric {self.metrics[0].name!r} decides, and lower is better: put one first of which higher is better"
            )
        if baseline not in self.systems:
            raise InputError(f"baseline={baseline!r} is no system: choose one of {', '.join(map(repr, self.systems))}")
        unknown = [name for name in self.settings if name not in self.systems]
        if unknown:
            raise InputError(
                f"settings: {unknown[0]!r} is no system: choose among {', '.join(map(repr, self.systems))}"
            )
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
        kept = {name: answers for name in self.settings if (answers := self._kept(name)) is not None}
        asked = {name: system for name, system in self.systems.items() if name not in kept}
        for system in asked.values():
            for stage in system.modules() if isinstance(system, nn.Module) else ():
                if isinstance(stage, LateInteractionReranker) and stage.embeddings is None:
                    stage.index(progress=progress)
        measured = dict(kept)
        with progress_bar(len(asked) * len(self.task.queries), shown=progress and bool(asked)) as starts:
            for name, system in asked.items():
                with frozen(system):
                    step = starts(f"{self.task.name}: {name}")
                    measured[name] = measure(system, self.task.queries.texts, name=name, step=step)
                if self.cache is not None and name in self.settings:
                    self.cache.write(self.settings[name], self.task, measured[name])
        return self._report({name: measured[name] for name in self.systems}, kept)

    def _kept(self, name: str) -> Measured | None:
        return None if self.cache is None else self.cache.read(self.settings[name], self.task)

    def _report(self, measured: Mapping[str, Measured], kept: Collection[str]) -> Report:
        values = {name: metric_values(self.metrics, self.task, one.ranking) for name, one in measured.items()}
        return Report(
            collection=self.task.name,
            documents=len(self.task.documents),
            queries=self.task.queries.ids,
            baseline=self.baseline,
            metrics=tuple(metric.name for metric in self.metrics),
            systems=tuple(
                SystemResult(name, values[name], tuple(one.milliseconds), kept=name in kept)
                for name, one in measured.items()
            ),
            comparisons=compare(values, self.baseline, seed=self.seed),
            threads=torch.get_num_threads(),
            seed=self.seed,
            runs={name: self.task.run(one.ranking) for name, one in measured.items()},
        )

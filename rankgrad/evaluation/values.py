"""A task's metrics of a ranking, query by query, as ``rankgrad evaluate --run -c`` gives them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from rankgrad.data import Task
from rankgrad.data.judged_lists import judged_lists
from rankgrad.types import Ranking

# Average relevance position, and trec_eval's unjudged share and residual of rank-biased precision.
_LOWER = re.compile(r"arp|unj_\d+|rbp_resid", re.IGNORECASE)


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


def metric_values(metrics: Sequence[Metric], task: Task, ranking: Ranking) -> dict[str, tuple[float, ...]]:
    """Each metric's value of each query of a task.

    Labels tell the unjudged (-1) from what is judged irrelevant (0), which bpref, infAP or ``judged@10`` ask. Of equal
    scores the greatest document id ranks first, as trec_eval has it, and a query without an answer gets 0.

    Args:
        metrics: what is measured.
        task: queries and judgements.
        ranking: of the task's queries.

    Raises:
        InputError: when the ranking has another number of queries than the task.

    Example:
        >>> import torch
        >>> from rankgrad.data import Texts
        >>> from rankgrad.metrics import BinaryPreference
        >>> documents = Texts(("d1", "d2", "d3"), ("Paris", "Rome", "Oslo"))
        >>> task = Task("capitals", documents, Texts(("q",), ("capital of France",)), {"q": {"d1": 1, "d2": 0}})
        >>> unjudged_first = Ranking(torch.tensor([[2, 0]]), torch.tensor([[0.9, 0.4]]), torch.ones(1, 2).bool())
        >>> metric_values([BinaryPreference()], task, unjudged_first)
        {'bpref': (1.0,)}
    """
    # Metrics break ties by position unless told otherwise, so documents are put in their order beforehand.
    run = {
        query: dict(sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True))
        for query, scores in task.run(ranking).items()
    }
    values: dict[str, list[float]] = {metric.name: [] for metric in metrics}
    for part in judged_lists(run, task.qrels, complete=True):
        absent = ~part.mask.any(dim=-1)
        for metric in metrics:
            found = metric(part.scores, part.labels, part.mask, judged=part.judged)
            # NaN is what a metric with empty="skip" says of a query without anything to find.
            values[metric.name] += found.masked_fill(absent & ~found.isnan(), 0.0).tolist()
    return {name: tuple(each) for name, each in values.items()}


def lower_is_better(metric: str) -> bool:
    """Whether a metric of this name is good where it is low.

    Example:
        >>> lower_is_better("ARP"), lower_is_better("unj_10"), lower_is_better("nDCG@10")
        (True, True, False)
    """
    return _LOWER.fullmatch(metric) is not None

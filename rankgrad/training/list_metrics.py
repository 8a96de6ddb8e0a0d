"""Several metrics over a whole evaluation, batch by batch and process by process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from rankgrad._checks import InputError
from rankgrad.metrics import measure_lists
from rankgrad.metrics.measure_lists import Metric as ListMetric


class ListMetrics(Metric):
    """Keep the value of every metric of every query; lists are sorted once for all metrics.

    In a distributed run every process keeps its own queries; ``compute``, and after ``sync`` the rest, see those of all
    processes, also where one of them had none. A sampler that gives every process as many batches repeats some
    queries: with ``ids`` each counts once, and the order is that of the ids, whichever process had which.

    Args:
        metrics: modules of :mod:`rankgrad.metrics` such as ``NDCG(k=10)``, with different names.

    Shape:
        - update: scores, labels, mask, tie_order ``[queries, items]``, judged ``[queries, judged]``, ids int
          ``[queries]``
        - compute: float32 ``[]`` by metric; NaN values, those of ``empty="skip"``, are left out.

    Example:
        >>> from rankgrad.metrics import NDCG, ReciprocalRank
        >>> meter = ListMetrics([NDCG(k=2), ReciprocalRank()])
        >>> scores, labels = torch.tensor([[0.9, 0.5], [0.9, 0.5]]), torch.tensor([[1, 0], [0, 1]])
        >>> meter.update(scores, labels, ids=torch.tensor([7, 3]))
        >>> meter.update(scores[:1], labels[:1], ids=torch.tensor([7]))
        >>> meter.compute()["MRR"], meter.per_query()["MRR"], meter.ids()
        (tensor(0.7500), tensor([0.5000, 1.0000]), tensor([3, 7]))
    """

    full_state_update = False
    query_ids: list[Tensor]

    def __init__(self, metrics: Sequence[ListMetric]) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        self.names = [metric.name for metric in metrics]
        for place in range(len(self.metrics)):
            self.add_state(f"values_{place}", default=[], dist_reduce_fx="cat")
        self.add_state("query_ids", default=[], dist_reduce_fx="cat")

    def update(
        self,
        scores: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        judged: Tensor | None = None,
        tie_order: Tensor | None = None,
        ids: Tensor | None = None,
    ) -> None:
        """Measure some queries and keep their values.

        Raises:
            InputError: for what a metric refuses, ids that are not one a query, and ids given for some batches only.
        """
        found = measure_lists(self.metrics, scores.detach(), labels, mask, judged=judged, tie_order=tie_order)
        queries = scores.shape[:-1].numel()
        if ids is not None and ids.numel() != queries:
            raise InputError(f"ids: expected one a query, {queries}, got {ids.numel()}")
        numbers = torch.full((queries,), -1, device=scores.device) if ids is None else ids.flatten().long()
        before = self.query_ids
        if before and queries and bool((before[0][:1] < 0).any()) != bool((numbers[:1] < 0).any()):
            raise InputError("ids: given for some batches and not for others: give them for all or for none")
        for place, name in enumerate(self.names):
            getattr(self, f"values_{place}").append(found[name].float().flatten())
        before.append(numbers)

    def compute(self) -> dict[str, Tensor]:
        """The mean of each metric over all queries."""
        return {name: values.nanmean() for name, values in self.per_query().items()}

    def per_query(self) -> dict[str, Tensor]:
        """The values of each metric: by ascending id, or without ids in the order they came."""
        kept = self._kept()
        return {name: self._whole(f"values_{place}")[kept] for place, name in enumerate(self.names)}

    def ids(self) -> Tensor:
        """The ids that the values of :meth:`per_query` belong to; -1 without ids."""
        return self._whole("query_ids")[self._kept()]

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Gather the states of all processes, one without queries taking part with empty ones."""
        for name in [*(f"values_{place}" for place in range(len(self.metrics))), "query_ids"]:
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                getattr(self, name).append(self._none(name))
        super().sync(*arguments, **options)

    def _kept(self) -> Tensor:
        """Places of the first value of each id, by id; every place without ids."""
        ids = self._whole("query_ids")
        order = ids.argsort(stable=True)
        if not len(ids) or ids[order[0]] < 0:
            return torch.arange(len(ids), device=ids.device)
        ordered = ids[order]
        first = torch.ones_like(ordered, dtype=torch.bool)
        first[1:] = ordered[1:] != ordered[:-1]
        return order[first]

    def _whole(self, name: str) -> Tensor:
        state = getattr(self, name)
        return state if isinstance(state, Tensor) else torch.cat([self._none(name), *state])

    def _none(self, name: str) -> Tensor:
        return torch.zeros(0, device=self.device, dtype=torch.long if name == "query_ids" else torch.float32)

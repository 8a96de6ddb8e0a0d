"""The accumulator of validation metrics."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class PerQuery(Metric):
    """Keep one metric's value of every query; the result is their mean.

    A query that the metric leaves out (NaN, as by ``empty="skip"`` of :class:`rankgrad.metrics.NDCG`) is no part of it.

    In a distributed run every process keeps its own queries and ``compute`` sees those of all processes.

    Shape:
        - update: values ``[queries]``
        - compute: float32 ``[]``

    Example:
        >>> meter = PerQuery()
        >>> meter.update(torch.tensor([1.0, 0.0]))
        >>> meter.update(torch.tensor([0.5]))
        >>> meter.compute(), meter.per_query()
        (tensor(0.5000), tensor([1.0000, 0.0000, 0.5000]))
    """

    full_state_update = False
    values: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, values: Tensor) -> None:
        """Add the values of some queries."""
        self.values.append(values.detach().float().flatten())

    def compute(self) -> Tensor:
        """The mean over all queries but those whose value is NaN; NaN where none is left."""
        return self.per_query().nanmean()

    def per_query(self) -> Tensor:
        """All values so far, in the order they came; of all processes inside ``compute``, else of this one."""
        values = self.values
        return values if isinstance(values, Tensor) else torch.cat([torch.zeros(0, device=self.device), *values])

"""Which features a ranker lives on: what its quality loses when a feature's values are shuffled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.data import FeatureBatch, FeatureLists, FeatureTable, collate_features
from rankgrad.evaluation.progress import progress_bar
from rankgrad.evaluation.values import Metric
from rankgrad.metrics import NDCG, Interval, bootstrap_interval

ROWS_A_RUN = 8192


@dataclass(frozen=True)
class Importance:
    """What :func:`permutation_importance` found.

    Args:
        names: of the features.
        metric: the metric's name.
        baseline: its value for each query, nothing shuffled: float ``[queries]``.
        drops: what it loses, a feature and query, mean over the repeats: float ``[features, queries]``.
        repeats: shuffles of each feature.
        seed: of the shuffles.
    """

    names: tuple[str, ...]
    metric: str
    baseline: Tensor = field(repr=False)
    drops: Tensor = field(repr=False)
    repeats: int
    seed: int

    @property
    def mean(self) -> Tensor:
        """Mean drop of each feature over the queries ``[features]``."""
        return self.drops.mean(dim=1)

    @property
    def deviation(self) -> Tensor:
        """Standard deviation of each feature's drop over the queries ``[features]``."""
        return self.drops.std(dim=1, correction=0)

    def order(self) -> list[int]:
        """The features, the one that matters most first; of equal ones the lowest number comes first."""
        return torch.argsort(self.mean, descending=True, stable=True).tolist()

    def interval(self, feature: int) -> Interval:
        """95 % bootstrap interval of a feature's mean drop, over the queries."""
        return bootstrap_interval(self.drops[feature], seed=self.seed)


def permutation_importance(
    model: Callable[[FeatureLists], Tensor],
    table: FeatureTable,
    *,
    metric: Metric | None = None,
    names: Sequence[str] | None = None,
    repeats: int = 5,
    within_lists: bool = False,
    rows_a_run: int = ROWS_A_RUN,
    seed: int = 0,
    progress: bool = False,
) -> Importance:
    """Shuffle one feature at a time and see what the metric loses, query by query.

    ``drop_jq = m_q(X) - mean_r m_q(X with column j permuted by the r-th permutation)``. Shuffled across all rows, a
    feature loses everything it says; within lists it keeps what it says of the query, and loses what it says of one
    item beside another. Of two features that say the same, each may be shuffled without a loss: importance is the
    model's use of a feature, not what the data would lose. Measure it on queries that were not trained on.

    Args:
        model: such as a :class:`rankgrad.models.FeatureRanker`; a module runs in evaluation mode, where its weights
            are, and is put back.
        table: rows, labels and queries.
        metric: higher is better; None = nDCG@10.
        names: of the features; None = their numbers, from 1.
        repeats: shuffles of each feature.
        within_lists: shuffle among the items of a list only.
        rows_a_run: padded rows that are scored at once, at least one list.
        seed: of the shuffles.
        progress: show a bar on stderr.

    Raises:
        InputError: for no query, no repeat, or names that do not fit.

    Reference:
        Breiman: Random forests, Machine Learning 45, 2001; Fisher, Rudin, Dominici: All models are wrong, but many are
        useful, Journal of Machine Learning Research 20, 2019.

    Example:
        >>> rows = torch.tensor([[3.0, 5.0], [2.0, 7.0], [1.0, 6.0]])
        >>> table = FeatureTable(rows, torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 3]), ("1",))
        >>> found = permutation_importance(lambda lists: lists.features[..., 0], table, names=["used", "unused"])
        >>> found.baseline.tolist(), [found.names[feature] for feature in found.order()], found.mean[1].item()
        ([1.0], ['used', 'unused'], 0.0)
    """
    metric = NDCG(k=10) if metric is None else metric
    features = table.features.shape[1]
    if not table.queries:
        raise InputError("table: no query to measure on")
    if repeats < 1 or rows_a_run < 1:
        raise InputError(f"repeats={repeats}, rows_a_run={rows_a_run}: pass at least 1 of each")
    if names is not None and (isinstance(names, str) or len(names) != features):
        raise InputError(
            f"names: expected {features}, one a feature, got {names if isinstance(names, str) else len(names)}"
        )
    generator = torch.Generator().manual_seed(seed)
    shuffles = [_shuffle(table.cu_seqlens, within_lists, generator) for _ in range(repeats)]
    queries = len(table.queries)
    baseline, drops = torch.zeros(queries), torch.zeros(features, queries)
    with progress_bar(queries * features * repeats, shown=progress) as starts, frozen(model):
        step = starts("shuffling")
        for chosen, batch, places in _batches(table, rows_a_run):
            whole = _values(model, metric, batch, batch.features.features)
            baseline[chosen] = whole
            for feature in range(features):
                lost = torch.zeros_like(whole)
                for shuffle in shuffles:
                    changed = batch.features.features.clone()
                    changed[..., feature][batch.mask] = table.features[shuffle[places], feature]
                    lost += whole - _values(model, metric, batch, changed)
                    step(len(chosen))
                drops[feature, chosen] = lost / repeats
    listed = tuple(names) if names is not None else tuple(str(number) for number in range(1, features + 1))
    return Importance(listed, metric.name, baseline, drops, repeats, seed)


def _values(model: Callable[[FeatureLists], Tensor], metric: Metric, batch: FeatureBatch, rows: Tensor) -> Tensor:
    weights = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    device = rows.device if weights is None else weights.device
    scores = model(FeatureLists(rows.to(device), batch.mask.to(device))).to(rows.device)
    return metric(scores, batch.labels, batch.mask).float()


def _shuffle(cu_seqlens: Tensor, within_lists: bool, generator: torch.Generator) -> Tensor:
    """Which row each row takes its value from, int64 ``[rows]``."""
    shuffled = torch.randperm(int(cu_seqlens[-1]), generator=generator)
    if not within_lists:
        return shuffled
    # Rows in random order, then sorted by their list without changing that order within one.
    lists = torch.repeat_interleave(torch.arange(len(cu_seqlens) - 1), cu_seqlens.diff())
    return shuffled[torch.argsort(lists[shuffled], stable=True)]


def _batches(table: FeatureTable, budget: int) -> Iterator[tuple[Tensor, FeatureBatch, Tensor]]:
    """Query numbers, their padded lists, and the rows of the table in them; lists of like length go together."""
    lengths = table.cu_seqlens.diff()
    order = np.argsort(-lengths.numpy(), kind="stable")
    first = 0
    while first < len(order):
        chosen = order[first : first + max(1, budget // max(1, int(lengths[order[first]])))]
        spans = [tuple(table.cu_seqlens[query : query + 2].tolist()) for query in chosen.tolist()]
        lists = [(table.features[start:end], table.labels[start:end]) for start, end in spans]
        yield torch.from_numpy(chosen), collate_features(lists), torch.cat([torch.arange(*span) for span in spans])
        first += len(chosen)

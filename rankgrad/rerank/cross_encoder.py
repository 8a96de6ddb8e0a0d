"""The last stage: a model that reads query and document together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad._modes import frozen, learns
from rankgrad.rerank._splice import check_ranking, check_stage, splice
from rankgrad.types import Queries, Ranking


class PairScorer(Protocol):
    """What the stage needs of a cross-encoder: a torch model, or one of ``rankgrad.deploy`` (numpy)."""

    def score(self, queries: Sequence[str], documents: Sequence[str]) -> Any:
        """Score pair i = (``queries[i]``, ``documents[i]``): ``[pairs]``."""
        ...


class CrossEncoderReranker(nn.Module):
    """Reorder the first ``k`` documents of a ranking by a cross-encoder; the rest follow in their order.

    Pairs are scored in batches of like length; masked places are never scored. With gradients enabled and a scorer in
    training mode the scores carry gradients; else the scorer runs without them and without dropout.

    Args:
        scorer: a :class:`rankgrad.models.CrossEncoder` or anything with its ``score`` method.
        documents: the collection that the rankings' row numbers refer to.
        k: documents to reorder.
        batch_size: pairs that are scored at once. A scorer whose ``listwise`` is true reads the candidates of a query
            beside each other: it gets a query's pairs in one call, however many.
        first_stage_weight: how much of the incoming score is added to the model's own, which often misses what words in
            common say. :func:`rankgrad.training.fit_first_stage_weight` finds it on validation queries.

    Raises:
        InputError: for an empty collection, ``k`` or ``batch_size`` below 1, or a weight that is not finite.

    Reference:
        R. Nogueira, K. Cho, "Passage Re-ranking with BERT", 2019.

    Example:
        >>> class Overlap:  # letters in common
        ...     def score(self, queries, documents):
        ...         return torch.tensor([float(len(set(q) & set(d))) for q, d in zip(queries, documents)])
        >>> stage = CrossEncoderReranker(Overlap(), ["xyz", "abz", "abc"], k=2)
        >>> incoming = Ranking(torch.tensor([[0, 1, 2]]), torch.tensor([[3.0, 2.0, 1.0]]), torch.ones(1, 3).bool())
        >>> stage(["abc"], incoming).ids.tolist()
        [[1, 0, 2]]
    """

    def __init__(
        self,
        scorer: PairScorer,
        documents: Sequence[str],
        *,
        k: int = 10,
        batch_size: int = 32,
        first_stage_weight: float = 0.0,
    ) -> None:
        super().__init__()
        check_stage(documents, k, first_stage_weight)
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size} scores nothing: pass at least 1")
        self.scorer = scorer
        self.documents = tuple(documents)
        self.k = k
        self.batch_size = batch_size
        self.first_stage_weight = first_stage_weight
        if isinstance(scorer, nn.Module):
            self.training = scorer.training

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        """Reorder ``ranking``.

        Raises:
            InputError: for an empty query, or a ranking of other queries or of another collection.
        """
        check_ranking(queries, ranking, len(self.documents))
        ids, mask = ranking.ids[:, : self.k], ranking.mask[:, : self.k]
        owners: list[int] = mask.nonzero()[:, 0].tolist()
        pairs = [(queries[owner], self.documents[row]) for owner, row in zip(owners, ids[mask].tolist(), strict=True)]
        scores = torch.full(ids.shape, -torch.inf, device=ids.device)
        if not pairs:
            return splice(ranking, scores)
        if learns(self.scorer):
            found = self._score(pairs, owners)
        else:
            with frozen(self.scorer):
                found = self._score(pairs, owners)
        scores = scores.masked_scatter(mask, found.to(scores))
        return splice(ranking, scores, first_stage_weight=self.first_stage_weight)

    def _score(self, pairs: list[tuple[str, str]], owners: list[int]) -> torch.Tensor:
        """Scores ``[pairs]`` in the order given; pair i is of query ``owners[i]``, whose pairs follow each other."""
        if getattr(self.scorer, "listwise", False):
            order = list(range(len(pairs)))
            batches = [list(batch) for _, batch in groupby(order, key=owners.__getitem__)]
        else:
            # Longest first: a batch that does not fit in memory fails at once, not at the end.
            order = sorted(range(len(pairs)), key=lambda pair: -len(pairs[pair][0]) - len(pairs[pair][1]))
            batches = [order[start : start + self.batch_size] for start in range(0, len(order), self.batch_size)]
        parts = []
        for batch in batches:
            queries, documents = zip(*(pairs[pair] for pair in batch), strict=True)
            parts.append(torch.as_tensor(self.scorer.score(queries, documents)).float().reshape(-1))
        back = torch.tensor(order).argsort()
        scores = torch.cat(parts)
        return scores[back.to(scores.device)]

"""A cross-encoder stage that spends its layers on the documents that are worth them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad._modes import frozen
from rankgrad.models import CrossEncoder
from rankgrad.models._resumed_pairs import check_resumable, resume, stop
from rankgrad.rerank._splice import check_ranking, check_stage, plus_incoming, splice
from rankgrad.types import Queries, Ranking


class LayerBudgetReranker(nn.Module):
    r"""Reorder the first ``k`` documents by a cross-encoder that reads most of them with its first layers only.

    Every candidate is scored behind ``exit_layer`` layers, by the head that :class:`rankgrad.models.CrossEncoder` has
    there (``exits``). Those with the highest scores go on from the states they have, through the other layers, as many
    as the budget pays for; they stand first, in the order of the last layer. The rest follow in the order of the early
    one. Of n candidates and depth L, with e layers for all,

    .. math:: m = \lfloor n (budget - e) / (L - e) \rfloor

    go on, so that no more than ``budget`` layers a candidate are run on average. The final scores of those that go on
    are the ones of the whole model. With ``budget`` = L that is :class:`rankgrad.rerank.CrossEncoderReranker`, with
    ``budget`` = e the early exit alone.

    The stage runs without gradients: train the model, and its heads, with :class:`rankgrad.losses.EarlyExitLoss`.

    Args:
        model: a cross-encoder with ``exits``.
        documents: the collection that the rankings' row numbers refer to.
        exit_layer: one of its ``exits``.
        budget: layers a candidate, on average; from ``exit_layer`` to the model's depth.
        k: documents to reorder.
        first_stage_weight: how much of the incoming score is added to both scores.

    Attributes:
        layers_run: pairs times layers, of all calls so far.

    Raises:
        InputError: for an empty collection, ``k`` below 1, a layer without a head, a budget out of its range, a weight
            that is not finite, or a listwise or compressing model.

    Reference:
        Xin et al., "Early Exiting BERT for Efficient Document Ranking", SustaiNLP 2020.
    """

    def __init__(
        self,
        model: CrossEncoder,
        documents: Sequence[str],
        *,
        exit_layer: int,
        budget: float,
        k: int = 100,
        first_stage_weight: float = 0.0,
    ) -> None:
        super().__init__()
        check_stage(documents, k, first_stage_weight)
        check_resumable(model)
        depth = model.encoder.depth
        if exit_layer not in model.options.exits:
            known = ", ".join(map(str, model.options.exits)) or "none: train it with exits"
            raise InputError(f"exit_layer={exit_layer} has no head: choose one of the model's exits ({known})")
        if not exit_layer <= budget <= depth:
            raise InputError(
                f"budget={budget}: all candidates take {exit_layer} layers and none more than {depth}; choose a number "
                "between them"
            )
        self.model = model
        self.documents = tuple(documents)
        self.exit_layer = exit_layer
        self.budget = budget
        self.k = k
        self.first_stage_weight = first_stage_weight
        self.layers_run = 0
        self.training = model.training

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        """Reorder ``ranking``.

        Raises:
            InputError: for an empty query, or a ranking of other queries or of another collection.
        """
        check_ranking(queries, ranking, len(self.documents))
        with frozen(self.model):
            rows = [
                self._reordered(query, Ranking(*(each[row : row + 1] for each in ranking)))
                for row, query in enumerate(queries)
            ]
        return Ranking(*(torch.cat(each) for each in zip(*rows, strict=True)))

    def going_on(self, candidates: int) -> int:
        """How many of so many candidates are read by all layers."""
        depth = self.model.encoder.depth
        # A budget such as 2.2 is not exact in binary: what it was meant to pay for is not lost to rounding.
        return int(candidates * (self.budget - self.exit_layer) / (depth - self.exit_layer) + 1e-9)

    def _reordered(self, query: str, ranking: Ranking) -> Ranking:
        """The ranking of one query."""
        mask = ranking.mask[:, : self.k]
        rows = ranking.ids[:, : self.k][mask].tolist()
        scores = torch.full(mask.shape, -torch.inf, device=mask.device)
        if not rows:
            return splice(ranking, scores)
        incoming, weight = ranking.scores[:, : self.k][mask], self.first_stage_weight
        pairs = stop(self.model, [query] * len(rows), [self.documents[row] for row in rows], self.exit_layer)
        early = plus_incoming(pairs.scores.to(scores), incoming, weight)
        number = self.going_on(len(rows))
        self.layers_run += len(rows) * self.exit_layer + number * (self.model.encoder.depth - self.exit_layer)
        if not number:
            return splice(ranking, scores.masked_scatter(mask, early))
        by_early = early.argsort(descending=True, stable=True)
        # In the order they came in, so that equal final scores stay in it.
        chosen = by_early[:number].sort().values
        final = resume(self.model, pairs, chosen.tolist(), self.exit_layer).to(scores)
        final = plus_incoming(final, incoming[chosen], weight)
        real = mask[0].nonzero()[:, 0]
        head = real[torch.cat([chosen, by_early[number:]])]
        behind = torch.ones(ranking.ids.shape[1], dtype=torch.bool, device=head.device).index_fill(0, head, False)
        order = torch.cat([head, behind.nonzero()[:, 0]])
        return splice(Ranking(*(each[:, order] for each in ranking)), final[None])

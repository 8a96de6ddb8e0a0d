"""Query likelihood: how probable a document's smoothed language model makes the query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad.retrieve._inverted import search
from rankgrad.retrieve._lexical_files import load_lexical, save_lexical, set_index
from rankgrad.retrieve.analyzer import Analyzer
from rankgrad.retrieve.postings import count_postings
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking

Smoothing = Literal["dirichlet", "jelinek-mercer"]

_BUFFERS = ("prior", "background")
_OPTIONS = ("smoothing", "mu", "collection_weight")


class QueryLikelihood(nn.Module):
    r"""Rank documents by ``sum_t q_t ln p(t | d)`` over the query's terms t, of which it holds q_t.

    With ``p(t)`` a term's share of all occurrences in the collection, and ``|d|`` the terms of a document::

        dirichlet       p(t | d) = (tf + mu p(t)) / (|d| + mu)
        jelinek-mercer  p(t | d) = (1 - w) tf / |d| + w p(t)

    Every document gives every known term some probability. That floor is split off, so that an index holds only what
    occurs, and the whole of the sum is::

        dirichlet       sum_t q_t ln(1 + tf / (mu p(t)))  +  |q| ln(mu / (|d| + mu))  +  sum_t q_t ln p(t)
        jelinek-mercer  sum_t q_t ln(1 + (1 - w) tf / (w |d| p(t)))                   +  sum_t q_t ln(w p(t))

    The first sum runs over shared terms, the second part depends on the document's length alone, the last on the query
    alone. Terms that no document holds have no probability and count for nothing, in |q| too.

    Args:
        documents: the collection; row numbers in rankings are positions in it.
        smoothing: the formula.
        mu: occurrences that the collection adds to each document (Dirichlet). 1000 is Anserini's, 2500 Terrier's.
        collection_weight: the share w of the collection (Jelinek-Mercer): 0.1 suits short queries, 0.7 long ones.
        analyzer: from text to terms; None for English.

    Shape:
        ``indptr`` int64 ``[terms + 1]``, ``rows`` int32 ``[entries]``, ``weights`` float32 ``[entries]``: the
        logarithms of the first sum, by term; ``prior`` float32 ``[documents]``; ``background`` float32 ``[terms]``.

    Raises:
        InputError: no documents, no document with a term, or a parameter outside of its range.

    Reference:
        C. Zhai, J. Lafferty, "A Study of Smoothing Methods for Language Models Applied to Ad Hoc Information
        Retrieval", SIGIR 2001.

    Example:
        >>> likelihood = QueryLikelihood(["a cat sat", "a dog ran", "cats and dogs"], mu=1.0)
        >>> ranking = likelihood(["cat"], k=3)
        >>> ranking.ids.tolist(), ranking.scores.exp()[0, 0]  # (1 + 2 / 6) / (2 + 1)
        ([[0, 2, -1]], tensor(0.4444))
    """

    indptr: Tensor
    rows: Tensor
    weights: Tensor
    prior: Tensor
    background: Tensor
    vocabulary: dict[str, int]
    documents: int

    def __init__(
        self,
        documents: Sequence[str],
        *,
        smoothing: Smoothing = "dirichlet",
        mu: float = 1000.0,
        collection_weight: float = 0.1,
        analyzer: Analyzer | None = None,
    ) -> None:
        super().__init__()
        check_texts(documents, "document", allow_blank=True)
        if smoothing not in get_args(Smoothing):
            raise InputError(f"smoothing={smoothing!r} is unknown: choose one of {', '.join(get_args(Smoothing))}")
        if not 0 < mu < np.inf:
            raise InputError(f"mu={mu} must be above 0: 1000 is usual")
        if not 0 < collection_weight < 1:
            raise InputError(f"collection_weight={collection_weight} must lie between 0 and 1: 0.1 is usual")
        self.smoothing, self.mu, self.collection_weight = smoothing, mu, collection_weight
        self.analyzer = analyzer or Analyzer()
        terms = self.analyzer.collect(documents)
        counts = count_postings(terms)
        share = np.bincount(terms.ids) / len(terms.ids)
        if smoothing == "dirichlet":
            odds = counts.frequency / (mu * share[counts.term])
            prior = np.log(mu / (terms.lengths + mu))
            background = np.log(share)
        else:
            own = (1 - collection_weight) * counts.frequency / terms.lengths[counts.rows]
            odds = own / (collection_weight * share[counts.term])
            prior = np.zeros(len(documents))
            background = np.log(collection_weight * share)
        set_index(self, terms, counts.postings(np.log1p(odds)))
        self.register_buffer("prior", torch.from_numpy(prior).float())
        self.register_buffer("background", torch.from_numpy(background).float())

    def forward(self, queries: Queries, k: int) -> Ranking:
        """Rank the ``k`` likeliest documents of each query among those that share a term with it, exactly.

        Returns:
            A ranking; equal scores in order of rows. Scores are log-likelihoods. Documents that share no term with the
            query are not in it (id -1, score -inf, mask False).

        Raises:
            InputError: for an empty query, or ``k`` below 1 or above the size of the collection.
        """
        return self.rank_allowed(queries, k, None)

    def rank_allowed(self, queries: Queries, k: int, allowed: Tensor | None) -> Ranking:
        """The same among the documents that ``allowed``, bool ``[documents]`` or ``[queries, documents]``, marks."""
        check_texts(queries, "query")
        return self.rank(self.weigh(queries), k, allowed=allowed)

    def weigh(self, queries: Queries) -> WeightedTerms:
        """The known terms of queries, weighted by how often they occur there."""
        return WeightedTerms.of(queries, self.analyzer, self.vocabulary)

    def rank(self, terms: WeightedTerms, k: int, *, allowed: Tensor | None = None) -> Ranking:
        """Rank for weighted terms, as query expansion gives them; their weights stand for q_t.

        Raises:
            InputError: for a weight that is not above 0.
        """
        if not (terms.weights > 0).all():
            raise InputError("terms: weights of a likelihood must be above 0; leave the other terms out")
        return search(self, terms, k, allowed=allowed, finish=self._likelihood)

    def save(self, folder: str | Path) -> None:
        """Write the index, as a whole or not at all.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        save_lexical(self, folder, "query_likelihood", buffers=_BUFFERS, options=_OPTIONS)

    @classmethod
    def load(cls, folder: str | Path) -> QueryLikelihood:
        """Read an index that :meth:`save` wrote; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or is no index of this kind.
        """
        return load_lexical(cls, folder, "query_likelihood", buffers=_BUFFERS, options=_OPTIONS)

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"documents={self.documents}, terms={len(self.vocabulary)}, smoothing={self.smoothing}"

    def _likelihood(self, scores: Tensor, terms: WeightedTerms) -> Tensor:
        """Add what does not depend on shared terms; -inf where none is."""
        background = terms.weights * self.background.cpu().numpy()[terms.positions]
        rest = torch.from_numpy(terms.sums(background)).to(scores)[:, None]
        totals = torch.from_numpy(terms.totals()).to(scores)[:, None]
        return (scores + totals * self.prior + rest).where(scores > 0, -torch.inf)

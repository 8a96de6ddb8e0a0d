"""BM25 whose parameters are learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rankgrad._checks import InputError, check_texts
from rankgrad._index_files import read_index, write_index
from rankgrad.retrieve._top import descending
from rankgrad.retrieve.analyzer import Analyzer
from rankgrad.retrieve.bm25 import BM25
from rankgrad.retrieve.bm25_weights import check_method
from rankgrad.retrieve.postings import Postings, count_postings
from rankgrad.retrieve.weighted_terms import WeightedTerms
from rankgrad.types import Queries, Ranking

_BUFFERS = ("keys", "frequency", "lengths", "idf")


class LearnableBM25(nn.Module):
    r"""Score and reorder documents by Lucene's BM25, with gradients in k1, b and a weight a term.

    ``score = sum_t q_t w_t idf_t tf / (tf + k1 (1 - b + b length))``, where length is relative to the average. The
    parameters are ``log_k1``, ``logit_b`` (so that k1 stays above 0 and b between 0 and 1) and ``term_weights`` w,
    which start at 1, where the scores are those of :class:`rankgrad.retrieve.BM25`.

    Args:
        documents: the collection that row numbers in rankings refer to.
        k1: where to start; above 0.
        b: where to start; above 0 and below 1.
        learn_term_weights: train a weight a term too. They are as many as the vocabulary has terms: with few
            judgements leave them out.
        analyzer: from text to terms; None for English.

    Shape:
        ``keys`` int64 ``[entries]``, ``term * documents + row`` of what occurs, ascending; ``frequency`` float32
        ``[entries]``; ``lengths`` float32 ``[documents]``; ``idf`` float32 ``[terms]``.

    Raises:
        InputError: no documents, no document with a term, or parameters outside of their range.

    Reference:
        S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", FnTIR, 2009.

    Example:
        >>> bm25 = LearnableBM25(["a cat sat", "a dog ran", "cats cats cats"])
        >>> scores = bm25.score(["cat"], torch.tensor([[0, 1, 2]]))
        >>> scores.argsort(descending=True).tolist(), scores[0, 1].item()
        ([[2, 0, 1]], 0.0)
        >>> scores[0, 2].backward()
        >>> bool(bm25.log_k1.grad < 0)  # repeats saturate earlier
        True
    """

    keys: Tensor
    frequency: Tensor
    lengths: Tensor
    idf: Tensor

    def __init__(
        self,
        documents: Sequence[str],
        *,
        k1: float = 1.2,
        b: float = 0.75,
        learn_term_weights: bool = True,
        analyzer: Analyzer | None = None,
    ) -> None:
        super().__init__()
        check_texts(documents, "document", allow_blank=True)
        check_method("lucene", k1, b)
        if k1 == 0 or b in (0, 1):
            raise InputError(f"k1={k1} and b={b} must start inside of their range: nothing is learned at its ends")
        self.analyzer = analyzer or Analyzer()
        terms = self.analyzer.collect(documents)
        counts = count_postings(terms)
        self.vocabulary = {term: position for position, term in enumerate(terms.vocabulary)}
        self.documents = len(documents)
        idf = np.log1p((len(documents) - counts.document_frequency + 0.5) / (counts.document_frequency + 0.5))
        self._set(
            keys=torch.from_numpy(counts.term * len(documents) + counts.rows),
            frequency=torch.from_numpy(counts.frequency).float(),
            lengths=torch.from_numpy(terms.lengths / terms.lengths.mean()).float(),
            idf=torch.from_numpy(idf).float(),
        )
        self.log_k1 = nn.Parameter(torch.tensor(math.log(k1)))
        self.logit_b = nn.Parameter(torch.tensor(math.log(b / (1 - b))))
        self.term_weights = nn.Parameter(torch.ones(len(self.vocabulary)), learn_term_weights)

    @property
    def k1(self) -> Tensor:
        """How slowly repeated occurrences saturate."""
        return self.log_k1.exp()

    @property
    def b(self) -> Tensor:
        """How much of a document's length is normalised away."""
        return self.logit_b.sigmoid()

    def forward(self, queries: Queries, ranking: Ranking) -> Ranking:
        """Reorder all of ``ranking``; equal scores in order of rows. The scores carry gradients.

        Raises:
            InputError: for an empty query, or a ranking of other queries or of another collection.
        """
        scores = self.score(queries, ranking.ids.where(ranking.mask, 0))
        ids, mask = ranking.ids.to(scores.device), ranking.mask.to(scores.device)
        return descending(ids, scores, mask)

    def score(self, queries: Queries, ids: Tensor) -> Tensor:
        """Score documents ``ids`` int64 ``[queries, candidates]``: float32 of that shape, 0 where no term is shared.

        Raises:
            InputError: for an empty query, another number of rows than queries, or rows outside of the collection.
        """
        check_texts(queries, "query")
        if ids.dim() != 2 or len(ids) != len(queries):
            raise InputError(f"ids: expected [{len(queries)}, candidates], a row a query, got {list(ids.shape)}")
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.documents:
            raise InputError(
                f"ids: rows {int(ids.min())} to {int(ids.max())} of a collection of {self.documents} documents: "
                "build both stages on the same collection"
            )
        ids = ids.to(self.keys.device)
        terms, counts = self._padded(queries)
        wanted = terms[:, None, :] * self.documents + ids[:, :, None]
        places = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        frequency = self.frequency[places].where(self.keys[places] == wanted, 0.0)
        saturation = self.k1 * (1 - self.b + self.b * self.lengths[ids])
        weights = counts * self.idf[terms] * self.term_weights[terms]
        return (weights[:, None, :] * frequency / (frequency + saturation[:, :, None])).sum(-1)

    @torch.no_grad()
    def to_bm25(self) -> BM25:
        """A first stage with what was learned, its weights computed ahead of the queries.

        As in every :class:`rankgrad.retrieve.BM25`, documents whose score is not above 0 are not found.
        """
        term, rows = self.keys // self.documents, self.keys % self.documents
        saturation = self.k1 * (1 - self.b + self.b * self.lengths[rows])
        scores = (self.idf * self.term_weights)[term] * self.frequency / (self.frequency + saturation)
        ends = torch.searchsorted(term, torch.arange(len(self.idf) + 1, device=term.device))
        postings = Postings(ends.cpu().numpy(), rows.int().cpu().numpy(), scores.float().cpu().numpy())
        return BM25.from_postings(
            list(self.vocabulary),
            postings,
            documents=self.documents,
            analyzer=self.analyzer,
            k1=float(self.k1),
            b=float(self.b),
        )

    def save(self, folder: str | Path) -> None:
        """Write counts and parameters, as a whole or not at all.

        Raises:
            InputError: when ``folder`` holds other files, or an index of another kind.
        """
        settings = {"analyzer": self.analyzer.to_dict(), "vocabulary": list(self.vocabulary)}
        settings |= {"documents": self.documents, "learn_term_weights": self.term_weights.requires_grad}
        write_index(folder, "learnable_bm25", self.state_dict(), settings)

    @classmethod
    def load(cls, folder: str | Path) -> LearnableBM25:
        """Read what :meth:`save` wrote; the documents are not needed.

        Raises:
            FileNotFoundError: when a file is missing.
            InputError: when a file is cut off or damaged, or is of another kind.
        """
        tensors, settings = read_index(folder, "learnable_bm25")
        self = cls.__new__(cls)
        nn.Module.__init__(self)
        try:
            self.analyzer, self.documents = Analyzer(**settings["analyzer"]), settings["documents"]
            self.vocabulary = {term: position for position, term in enumerate(settings["vocabulary"])}
            self._set(**{name: tensors[name] for name in _BUFFERS})
            self.log_k1, self.logit_b = nn.Parameter(tensors["log_k1"]), nn.Parameter(tensors["logit_b"])
            self.term_weights = nn.Parameter(tensors["term_weights"], settings["learn_term_weights"])
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder} is no complete LearnableBM25 ({error!r}): write it again") from error
        if {len(self.idf), len(self.term_weights)} != {len(self.vocabulary)} or len(self.lengths) != self.documents:
            raise InputError(f"{folder}: vocabulary and tensors are of different indexes: write it again")
        return self

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"documents={self.documents}, terms={len(self.vocabulary)}, k1={self.k1:.3f}, b={self.b:.3f}"

    def _set(self, *, keys: Tensor, frequency: Tensor, lengths: Tensor, idf: Tensor) -> None:
        self.register_buffer("keys", keys)
        self.register_buffer("frequency", frequency)
        self.register_buffer("lengths", lengths)
        self.register_buffer("idf", idf)

    def _padded(self, queries: Queries) -> tuple[Tensor, Tensor]:
        """Each query's terms int64 ``[queries, terms]`` and their counts, 0 where there is no term."""
        found = WeightedTerms.of(queries, self.analyzer, self.vocabulary)
        starts = np.searchsorted(found.owners, np.arange(len(queries)))
        columns = np.arange(len(found.owners)) - starts[found.owners]
        terms = np.zeros((len(queries), int(columns.max(initial=0)) + 1), dtype=np.int64)
        counts = np.zeros(terms.shape)
        terms[found.owners, columns], counts[found.owners, columns] = found.positions, found.weights
        return torch.from_numpy(terms).to(self.keys.device), torch.from_numpy(counts).to(self.idf)

"""A collection counted term by term, and the postings made of the counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rankgrad._checks import InputError
from rankgrad.retrieve.analyzer import Terms


class Postings(NamedTuple):
    """For each term, the documents that hold it and what it adds to their scores.

    Shape:
        indptr: int64 ``[terms + 1]``; term t owns entries ``indptr[t]:indptr[t + 1]``.
        rows: int32 ``[entries]``, document rows, ascending within a term.
        scores: float32 ``[entries]``.
    """

    indptr: np.ndarray
    rows: np.ndarray
    scores: np.ndarray


class PostingCounts(NamedTuple):
    """How often each term occurs in each document that holds it.

    Shape:
        term: int64 ``[entries]``, ascending.
        rows: int32 ``[entries]``, document rows, ascending within a term.
        frequency: int64 ``[entries]``, at least 1.
        document_frequency: int64 ``[terms]``, documents that hold the term.
    """

    term: np.ndarray
    rows: np.ndarray
    frequency: np.ndarray
    document_frequency: np.ndarray

    def postings(self, scores: np.ndarray) -> Postings:
        """Postings with these ``scores``, one an entry."""
        indptr = np.concatenate([[0], np.cumsum(self.document_frequency)])
        return Postings(indptr.astype(np.int64), self.rows, scores.astype(np.float32, copy=False))


def count_postings(terms: Terms) -> PostingCounts:
    """Count and order the terms of a collection.

    Raises:
        InputError: when no document holds a term.
    """
    documents, vocabulary = len(terms.lengths), len(terms.vocabulary)
    if len(terms.ids) == 0:
        raise InputError("no document holds a term: are they empty, or do stop words and pattern leave nothing?")
    # One sort of term * documents + row gives term-major order and makes equal neighbours of repeats.
    keys = terms.ids.astype(np.int64) * documents
    keys += np.repeat(np.arange(documents, dtype=np.int32), terms.lengths)
    keys.sort()
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    frequency = np.diff(starts, append=len(keys))
    keys = keys[starts]
    del starts  # each of these arrays is twice as large as the rows or weights of the index
    document_frequency = np.diff(np.searchsorted(keys, np.arange(vocabulary + 1) * documents))
    keys -= np.repeat(np.arange(vocabulary) * documents, document_frequency)
    rows = keys.astype(np.int32)
    del keys
    return PostingCounts(np.repeat(np.arange(vocabulary), document_frequency), rows, frequency, document_frequency)

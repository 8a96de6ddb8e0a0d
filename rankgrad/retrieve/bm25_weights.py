"""The published BM25 formulas, and the term-major postings computed from them."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from rankgrad._checks import InputError
from rankgrad.retrieve.analyzer import Terms

Method = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]


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


def check_method(method: str, k1: float, b: float) -> None:
    """Refuse a formula that does not exist and parameters outside of their range.

    Raises:
        InputError: naming the argument, its value and what is allowed.
    """
    if method not in get_args(Method):
        raise InputError(f"method={method!r} is unknown: choose one of {', '.join(get_args(Method))}")
    if k1 < 0:
        raise InputError(f"k1={k1} must not be negative: 1.2 is usual")
    if not 0 <= b <= 1:
        raise InputError(f"b={b} must lie between 0 (lengths ignored) and 1: 0.75 is usual")


def bm25_weights(
    frequency: np.ndarray,
    length: np.ndarray,
    document_frequency: np.ndarray,
    documents: int,
    *,
    method: Method = "lucene",
    k1: float = 1.2,
    b: float = 0.75,
    delta: float = 0.5,
) -> np.ndarray:
    r"""What a term that occurs in a document adds to the document's score.

    With ``n = 1 - b + b * length`` and ``N`` documents of which ``df`` hold the term::

        lucene     ln(1 + (N - df + 0.5) / (df + 0.5)) * tf / (tf + k1 n)
        robertson  max(0, ln((N - df + 0.5) / (df + 0.5))) * tf / (tf + k1 n)
        atire      ln(N / df) * (k1 + 1) tf / (tf + k1 n)
        bm25l      ln((N + 1) / (df + 0.5)) * (k1 + 1) (tf / n + delta) / (k1 + tf / n + delta)
        bm25+      ln((N + 1) / df) * ((k1 + 1) tf / (tf + k1 n) + delta)

    A term that does not occur adds nothing: BM25L and BM25+ bound the gain of an occurrence from below.

    Args:
        frequency: occurrences of the term in the document (tf), at least 1.
        length: terms of the document divided by the average over the collection.
        document_frequency: documents that hold the term (df).
        documents: documents of the collection (N).
        method: the formula.
        k1: how slowly repeated occurrences saturate.
        b: how much of the length is normalised away.
        delta: the lower bound of BM25L and BM25+.

    Shape:
        ``frequency``, ``length`` and ``document_frequency`` broadcast.

    Returns:
        float64 weights of the broadcast shape.

    Reference:
        S. Robertson, H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", FnTIR, 2009.
        Y. Lv, C. Zhai, "Lower-bounding term frequency normalization" (BM25+), CIKM 2011, and "When documents are very
        long, BM25 fails!" (BM25L), SIGIR 2011.
        C. Kamphuis, A. P. de Vries, L. Boytsov, J. Lin, "Which BM25 do you mean?", ECIR 2020.

    Example:
        >>> float(bm25_weights(np.array(1), np.array(1.0), np.array(1), 1, k1=1.0).round(4))  # ln(4 / 3) / 2
        0.1438
    """
    tf, df, total = frequency, document_frequency, documents
    norm = 1 - b + b * length
    probability_odds = (total - df + 0.5) / (df + 0.5)
    saturated = tf / (tf + k1 * norm)
    match method:
        case "lucene":
            return np.log1p(probability_odds) * saturated
        case "robertson":
            return np.log(np.maximum(probability_odds, 1.0)) * saturated
        case "atire":
            return np.log(total / df) * (k1 + 1) * saturated
        case "bm25l":
            shifted = tf / norm + delta
            return np.log((total + 1) / (df + 0.5)) * (k1 + 1) * shifted / (k1 + shifted)
        case "bm25+":
            return np.log((total + 1) / df) * ((k1 + 1) * saturated + delta)


def build_postings(terms: Terms, *, method: Method, k1: float, b: float, delta: float) -> Postings:
    """Count, weigh and order the terms of a collection.

    Raises:
        InputError: when no document holds a term.
    """
    documents, vocabulary = len(terms.lengths), len(terms.vocabulary)
    if len(terms.ids) == 0:
        raise InputError("no document holds a term: are they empty, or do stop words and pattern leave nothing?")
    # One sort of term * documents + row gives term-major order and makes equal neighbours of repeats.
    keys = terms.ids.astype(np.int64) * documents
    keys += np.repeat(np.arange(documents, dtype=np.int64), terms.lengths)
    keys.sort()
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    frequency = np.diff(starts, append=len(keys))
    term, rows = np.divmod(keys[starts], documents)
    document_frequency = np.bincount(term, minlength=vocabulary)
    lengths = terms.lengths / (len(terms.ids) / documents)
    scores = bm25_weights(
        frequency, lengths[rows], document_frequency[term], documents, method=method, k1=k1, b=b, delta=delta
    )
    indptr = np.concatenate([[0], np.cumsum(document_frequency)])
    return Postings(indptr.astype(np.int64), rows.astype(np.int32), scores.astype(np.float32))

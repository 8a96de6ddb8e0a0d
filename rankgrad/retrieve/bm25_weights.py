"""The published BM25 formulas, and the term-major postings computed from them."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from rankgrad._checks import InputError
from rankgrad.retrieve.analyzer import Terms
from rankgrad.retrieve.postings import Postings, count_postings

Method = Literal["lucene", "robertson", "atire", "bm25l", "bm25+"]
_BLOCK = 1 << 16


def check_method(method: str, k1: float, b: float, *, delta: float = 0.0) -> None:
    """Refuse a formula that does not exist and parameters outside of their range.

    Raises:
        InputError: naming the argument, its value and what is allowed.
    """
    if method not in get_args(Method):
        raise InputError(f"method={method!r} is unknown: choose one of {', '.join(get_args(Method))}")
    if not 0 <= k1 < np.inf:
        raise InputError(f"k1={k1} must not be negative, infinite or NaN: 1.2 is usual")
    if not 0 <= b <= 1:
        raise InputError(f"b={b} must lie between 0 (lengths ignored) and 1: 0.75 is usual")
    if not 0 <= delta < np.inf:
        raise InputError(f"delta={delta} must not be negative, infinite or NaN: 0.5 (bm25l) and 1 (bm25+) are usual")


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
    counts = count_postings(terms)
    lengths = terms.lengths / terms.lengths.mean()
    options = {"k1": k1, "b": b, "delta": delta}
    scores = np.empty(len(counts.rows), dtype=np.float32)
    # A block at a time: float64 of all entries would take several times the memory of the index.
    for start in range(0, len(scores), _BLOCK):
        inside = slice(start, start + _BLOCK)
        scores[inside] = bm25_weights(
            counts.frequency[inside],
            lengths[counts.rows[inside]],
            counts.document_frequency[counts.term[inside]],
            len(terms.lengths),
            method=method,
            **options,
        )
    return counts.postings(scores)

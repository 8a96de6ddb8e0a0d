"""Who answers queries by BM25: ours, and bm25s with numpy and with numba."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np

from rankgrad.retrieve import BM25, Analyzer

K1, B = 1.2, 0.75


class Engine(NamedTuple):
    """An index of the documents; each function gives document rows and scores ``[queries, k]``.

    Args:
        terms: makes of texts what ``from_terms`` takes.
        from_terms: ranks a batch.
        from_texts: ranks a batch, tokenization included.
        size: bytes of the index.
    """

    terms: Callable[[Sequence[str]], Any]
    from_terms: Callable[[Any], tuple[np.ndarray, np.ndarray]]
    from_texts: Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]
    size: int


def ours(documents: Sequence[str], k: int, threads: int) -> Engine:
    """``rankgrad.retrieve.BM25``; its threads are torch's."""
    bm25 = BM25(documents, k1=K1, b=B, analyzer=Analyzer(stop_words=(), stemmer=None))

    def from_terms(terms: Any) -> tuple[np.ndarray, np.ndarray]:
        ranking = bm25.rank(terms, k)
        return ranking.ids.numpy(), ranking.scores.numpy()

    size = sum(each.numel() * each.element_size() for each in bm25.buffers())
    return Engine(bm25.weigh, from_terms, lambda texts: from_terms(bm25.weigh(texts)), size)


def peer(backend: str) -> Callable[[Sequence[str], int, int], Engine]:
    """bm25s with a backend, Lucene's formula and the same parameters."""

    def index(documents: Sequence[str], k: int, threads: int) -> Engine:
        import bm25s

        model = bm25s.BM25(method="lucene", k1=K1, b=B, backend=backend)
        plain = {"stopwords": None, "stemmer": None, "show_progress": False}
        model.index(bm25s.tokenize(list(documents), **plain), show_progress=False)
        vocabulary = model.vocab_dict

        def terms(texts: Sequence[str]) -> Any:
            return [[vocabulary[word] for word in text.split() if word in vocabulary] for text in texts]

        def search(queries: Any) -> tuple[np.ndarray, np.ndarray]:
            # It takes 0 as "in this process", which a single thread is.
            found: Any = model.retrieve(queries, k=k, n_threads=threads if threads > 1 else 0, show_progress=False)
            return found.documents, found.scores

        def from_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
            return search(bm25s.tokenize(list(texts), **plain))

        size = sum(model.scores[name].nbytes for name in ("data", "indices", "indptr"))
        return Engine(terms, search, from_texts, size)

    return index


def engines(name: str) -> dict[str, Callable[[Sequence[str], int, int], Engine]]:
    """Those whose libraries are there, ours under ``name``; a line names the others."""
    found: dict[str, Callable[[Sequence[str], int, int], Engine]] = {name: ours}
    if find_spec("bm25s") is None:
        print("skipped: bm25s (not installed: pip install bm25s)", flush=True)
        return found
    from importlib.metadata import version

    release = version("bm25s")
    found[f"bm25s {release}, numpy"] = peer("numpy")
    if find_spec("numba") is None:
        print("skipped: bm25s with numba (not installed: pip install numba)", flush=True)
    else:
        found[f"bm25s {release}, numba"] = peer("numba")
    return found

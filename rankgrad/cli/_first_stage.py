"""What finds the first documents of a search: the words of a collection, or an index that `rankgrad index` wrote."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from rankgrad._checks import InputError
from rankgrad.cli._load import load_collection
from rankgrad.cli._rank import open_model
from rankgrad.cli._show import Found

if TYPE_CHECKING:
    from rankgrad import deploy, models
    from rankgrad.retrieve import LateInteractionRetriever
    from rankgrad.types import Ranking

    ColBERT: TypeAlias = deploy.ColBERT | models.ColBERT


class FirstStage(NamedTuple):
    """How many documents there are, what finds the best ``k`` for a query, and the models in it."""

    size: int
    find: Callable[[str, int], list[Found]]
    models: tuple[ColBERT, ...]


def by_words(data: str) -> FirstStage:
    """BM25 over a collection.

    Raises:
        InputError, FileNotFoundError: as :func:`rankgrad.cli._load.load_collection`.
    """
    documents = load_collection(data).documents
    return FirstStage(len(documents), partial(_find_words, documents.ids, documents.texts), ())


def by_index(folder: Path, *, encoder: Path | None, candidates: int) -> FirstStage:
    """A late-interaction index and the model that made it.

    Args:
        folder: what `rankgrad index` wrote.
        encoder: the model; None = where it was when the index was made.
        candidates: documents that the encodings find.

    Raises:
        InputError: for an index that is damaged or was not made by the command, or a model that is no ColBERT.
        FileNotFoundError: when a file of the index is missing.
    """
    from rankgrad.retrieve import LateInteractionRetriever, index_notes

    notes = index_notes(folder)
    names, place = notes.get("names"), notes.get("model")
    if not isinstance(names, list) or not isinstance(place, str):
        raise InputError(f"{folder} does not name its documents: make it with `rankgrad index`")
    if encoder is None and not Path(place).is_dir():
        raise InputError(f"{folder} was made by {place}, which is gone: say with --encoder where the model is")
    model = open_colbert(encoder or Path(place))
    retriever = LateInteractionRetriever.load(folder, model, candidates=candidates)
    if retriever.texts is None or len(retriever.texts) != len(names):
        raise InputError(f"{folder} names {len(names)} documents and holds others: make it with `rankgrad index`")
    return FirstStage(retriever.documents, partial(_find_tokens, retriever, tuple(names), retriever.texts), (model,))


def open_colbert(folder: Path) -> ColBERT:
    """Open a ColBERT, trained or exported.

    Raises:
        InputError: for a folder of something else.
    """
    from rankgrad.tokens import LateInteractionTokenizer

    model = open_model(folder)
    if not isinstance(model.tokenizer, LateInteractionTokenizer):
        raise InputError(f"{folder} holds a cross-encoder, which has no token embeddings to index: pass a ColBERT")
    return model  # type: ignore[return-value]


def _find_words(ids: tuple[str, ...], texts: tuple[str, ...], query: str, k: int) -> list[Found]:
    from rankgrad.retrieve import BM25

    bm25 = BM25(texts)
    if not bm25.analyzer(query):
        raise InputError(f"the query {query!r} holds only stop words: add a word that says what you look for")
    return _rows(bm25([query], k), ids, texts)


def _find_tokens(
    retriever: LateInteractionRetriever, names: tuple[str, ...], texts: tuple[str, ...], query: str, k: int
) -> list[Found]:
    return _rows(retriever([query], k), names, texts)


def _rows(ranking: Ranking, names: tuple[str, ...], texts: tuple[str, ...]) -> list[Found]:
    rows = zip(ranking.ids[0].tolist(), ranking.scores[0].tolist(), ranking.mask[0].tolist(), strict=True)
    return [Found(names[row], score, texts[row]) for row, score, real in rows if real]

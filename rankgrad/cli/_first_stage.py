"""What finds the first documents of a search: the words of a collection, or an index that `rankgrad index` wrote."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rankgrad._checks import InputError
from rankgrad.cli._load import is_bundle, load_collection
from rankgrad.cli._rank import open_model
from rankgrad.cli._show import Found

if TYPE_CHECKING:
    from rankgrad import deploy, models
    from rankgrad.cli._load import BundleModel, TrainedModel
    from rankgrad.retrieve import LateInteractionRetriever
    from rankgrad.types import Ranking, Variant

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


def by_index(folder: Path, *, encoder: Path | None, variant: Variant | None, candidates: int) -> FirstStage:
    """A late-interaction index and the model that made it.

    Args:
        folder: what `rankgrad index` wrote.
        encoder: the model; None = where it was when the index was made.
        variant: which graph of its bundle; None = the one that made the index.
        candidates: documents that the encodings find.

    Raises:
        InputError: for an index that is damaged or was not made by the command, or a model that is no ColBERT.
        FileNotFoundError: when a file of the index is missing.
    """
    place = encoder_of(folder, encoder)
    model = open_colbert(place, variant_of(folder, place, variant))
    retriever, names = open_index(folder, model, candidates=candidates)
    find = partial(_find_tokens, retriever, names, retriever.texts or ())
    return FirstStage(retriever.documents, find, (model,))


def encoder_of(folder: Path, encoder: Path | None) -> Path:
    """The folder of the model that made an index; ``encoder`` where it has moved.

    Raises:
        InputError: for an index that `rankgrad index` did not make, or whose model is gone.
        FileNotFoundError: when a file of the index is missing.
    """
    place = _notes(folder)["model"]
    if encoder is None and not Path(place).is_dir():
        raise InputError(f"{folder} was made by {place}, which is gone: say with --encoder where the model is")
    return encoder or Path(place)


def variant_of(folder: Path, encoder: Path, variant: Variant | None) -> Variant | None:
    """Which graph of its model's bundle queries an index: the one asked for, else the one that made it.

    Args:
        folder: the index.
        encoder: its model, a bundle or not.
        variant: the one asked for.
    """
    return variant or (_notes(folder).get("variant") if is_bundle(encoder) else None)


def open_index(folder: Path, model: ColBERT, *, candidates: int) -> tuple[LateInteractionRetriever, tuple[str, ...]]:
    """An index that `rankgrad index` wrote, and the ids of its documents.

    Raises:
        InputError: for an index that is damaged, that something else made, or whose documents were changed since.
        FileNotFoundError: when a file of the index is missing.
    """
    from rankgrad.retrieve import LateInteractionRetriever

    names = _notes(folder)["names"]
    retriever = LateInteractionRetriever.load(folder, model, candidates=candidates)
    if retriever.texts is None or len(retriever.texts) != len(names):
        raise InputError(f"{folder} names {len(names)} documents and holds others: make it with `rankgrad index`")
    # Names and texts stand by place, rankings name row numbers; they part when documents are deleted and added.
    if retriever.ids is None or retriever.ids.tolist() != list(range(len(names))):
        raise InputError(
            f"{folder}: documents were deleted or added since `rankgrad index` named them: make it again with it"
        )
    return retriever, tuple(names)


def open_colbert(folder: Path, variant: Variant | None = None) -> ColBERT:
    """Open a ColBERT, trained or exported.

    Raises:
        InputError: for a folder of something else, or a variant of something that is no bundle.
    """
    return as_colbert(open_model(folder, variant), folder)


def as_colbert(model: BundleModel | TrainedModel, folder: Path) -> ColBERT:
    """A model that is a ColBERT.

    Raises:
        InputError: for another, naming its folder.
    """
    from rankgrad.tokens import LateInteractionTokenizer, PairTokenizer

    if not isinstance(model.tokenizer, LateInteractionTokenizer):
        what = "cross-encoder" if isinstance(model.tokenizer, PairTokenizer) else "causal reranker"
        raise InputError(f"{folder} holds a {what}, which has no token embeddings to index: pass a ColBERT")
    return model  # type: ignore[return-value]


def _notes(folder: Path) -> dict[str, Any]:
    """What `rankgrad index` wrote beside an index: its model, and the ids of its documents."""
    from rankgrad.retrieve import index_notes

    notes = index_notes(folder)
    if not isinstance(notes.get("names"), list) or not isinstance(notes.get("model"), str):
        raise InputError(f"{folder} does not name its documents: make it with `rankgrad index`")
    return notes


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

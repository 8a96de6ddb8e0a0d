"""Collections and first-stage results from the library ``ir_datasets``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rankgrad._checks import InputError, require
from rankgrad.data.records import Collection, Qrels, Run, Texts


class IRDatasets:
    """Documents, queries and judgements of ``ir_datasets`` sets, one a split.

    Documents are read into memory.

    Args:
        splits: for each split ("train", "validation", "test") the id of a registered set, such as
            ``beir/scifact/train``, or a set object, such as ``ir_datasets.create_dataset`` makes.
        documents: the set whose documents are taken; None takes those of the first split.
        name: of the collection; None takes the id of the set whose documents are taken.

    Raises:
        MissingExtraError: without ir_datasets, when ids are looked up.
        InputError: for no split, an unknown id, a set without documents, queries or judgements, or an id given twice
            for different texts.

    Example:
        >>> class Text:
        ...     def __init__(self, **fields):
        ...         self.__dict__.update(fields)
        >>> class Set:
        ...     def docs_iter(self):
        ...         yield Text(doc_id="d", text="Oslo is in Norway")
        ...     def queries_iter(self):
        ...         yield Text(query_id="q", text="capital of Norway")
        ...     def qrels_iter(self):
        ...         yield Text(query_id="q", doc_id="d", relevance=1)
        >>> collection = IRDatasets({"train": Set()}, name="capitals").load()
        >>> collection.documents.text("d"), collection.qrels
        ('Oslo is in Norway', {'train': {'q': {'d': 1}}})
    """

    def __init__(self, splits: Mapping[str, Any], *, documents: Any = None, name: str | None = None) -> None:
        if not splits:
            raise InputError("splits: none given, name a set for train, validation or test")
        self.splits = dict(splits)
        self.documents = documents if documents is not None else next(iter(self.splits.values()))
        self.name = name or (self.documents if isinstance(self.documents, str) else "ir_datasets")

    def load(self) -> Collection:
        """Read the sets."""
        queries: dict[str, str] = {}
        qrels: dict[str, Qrels] = {}
        for split, each in self.splits.items():
            opened, what = _opened(each), _named(each, split)
            _fill(queries, _records(opened, "queries", what), "query_id", what)
            qrels[split] = _judgements(_records(opened, "qrels", what), what)
        what = _named(self.documents, "documents")
        texts: dict[str, str] = {}
        _fill(texts, _records(_opened(self.documents), "docs", what), "doc_id", what)
        return Collection(self.name, _texts(texts), _texts(queries), qrels)


class ScoredDocuments:
    """The scored documents of ``ir_datasets`` sets (a first stage's result) as candidates for negatives.

    Args:
        splits: for each split the id of a registered set or a set object.

    Raises:
        MissingExtraError: without ir_datasets, when ids are looked up.
        InputError: when called, for a split without a set, or a set without scored documents.
    """

    def __init__(self, splits: Mapping[str, Any]) -> None:
        self.splits = dict(splits)

    def __call__(self, collection: Collection, split: str) -> Run:
        """Read the scores of a split, best first; of documents in the collection alone."""
        if split not in self.splits:
            raise InputError(f"no set for split {split!r}: there is one for {', '.join(sorted(self.splits))}")
        what = _named(self.splits[split], split)
        run: Run = {}
        for record in _records(_opened(self.splits[split]), "scoreddocs", what):
            if record.doc_id in collection.documents:
                run.setdefault(record.query_id, {})[record.doc_id] = float(record.score)
        return {query: dict(sorted(scores.items(), key=lambda item: -item[1])) for query, scores in run.items()}


def _opened(source: Any) -> Any:
    if not isinstance(source, str):
        return source
    library = require("ir_datasets", "datasets")
    try:
        return library.load(source)
    except KeyError:
        raise InputError(f"ir_datasets knows no set {source!r}: `ir_datasets list` shows the ids") from None


def _named(source: Any, otherwise: str) -> str:
    return f"the set {source if isinstance(source, str) else otherwise!r}"


def _records(opened: Any, kind: str, what: str) -> Iterable[Any]:
    """The records of one kind; a set says what it holds by the methods it has."""
    try:
        if kind == "docs":
            return opened.docs_iter()
        if kind == "queries":
            return opened.queries_iter()
        return opened.qrels_iter() if kind == "qrels" else opened.scoreddocs_iter()
    except AttributeError:
        raise InputError(f"{what} has no {kind}: choose another one") from None


def _fill(texts: dict[str, str], records: Iterable[Any], key: str, what: str) -> None:
    for record in records:
        name = record.doc_id if key == "doc_id" else record.query_id
        text = record.default_text() if hasattr(record, "default_text") else record.text
        if texts.setdefault(name, text) != text:
            raise InputError(f"{what} holds {key} {name!r} with two different texts: give every text its own id")


def _judgements(records: Iterable[Any], what: str) -> Qrels:
    qrels: Qrels = {}
    for record in records:
        judged = qrels.setdefault(record.query_id, {})
        if judged.setdefault(record.doc_id, int(record.relevance)) != int(record.relevance):
            raise InputError(
                f"{what} grades document {record.doc_id!r} of query {record.query_id!r} twice and differently"
            )
    return qrels


def _texts(texts: dict[str, str]) -> Texts:
    return Texts(tuple(texts), tuple(texts.values()))

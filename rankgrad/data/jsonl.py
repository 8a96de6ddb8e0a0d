"""Training examples and teacher scores from JSONL files (plain or ``.gz``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rankgrad._checks import InputError
from rankgrad.data._lines import finite, numbers_field, read_objects, text_field, texts_field
from rankgrad.data.image_files import ImagePath
from rankgrad.data.records import CandidateList, Run


def read_triples(path: str | Path) -> Iterator[CandidateList]:
    """Lines ``{"query": ..., "positive": ..., "negative": ..., "teacher_scores": [...]}``; the last may be left out.

    ``negative`` is a text or a list of texts. ``teacher_scores`` holds the positive's score, then the negatives'.

    Returns:
        lists with the positive (label 1) first, one at a time.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, with ``file:line``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "triples.jsonl"
        >>> _ = file.write_text('{"query": "capital of France", "positive": "Paris", "negative": ["Rome", "Oslo"]}')
        >>> next(read_triples(file)).labels
        (1.0, 0.0, 0.0)
    """
    return (triple_of(*found) for found in read_objects(path))


def triple_of(record: dict[str, Any], where: str) -> CandidateList:
    """The list that a line of :func:`read_triples` holds."""
    if isinstance(record.get("negative"), str):
        record["negative"] = [record["negative"]]
    negatives = texts_field(record, "negative", where)
    documents = (text_field(record, "positive", where), *negatives)
    labels = (1.0, *(0.0 for _ in negatives))
    return _candidates(text_field(record, "query", where), documents, labels, record, where)


def read_lists(path: str | Path) -> Iterator[CandidateList]:
    """Lines ``{"query": ..., "documents": [...], "labels": [...], "teacher_scores": [...]}``; the last may be left out.

    ``images`` in place of ``documents`` holds paths of pictures, relative to the folder of the file. They are looked
    for now and opened when a batch is made of them.

    Returns:
        the lists, one at a time; an image is a :class:`rankgrad.data.ImagePath`.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used or an image that is not there, with ``file:line``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "lists.jsonl"
        >>> _ = file.write_text('{"query": "capital of France", "documents": ["Rome", "Paris"], "labels": [0, 1]}')
        >>> next(read_lists(file)).labels
        (0.0, 1.0)
    """
    return (list_of(*found) for found in read_objects(path))


def list_of(record: dict[str, Any], where: str) -> CandidateList:
    """The list that a line of :func:`read_lists` holds."""
    query = text_field(record, "query", where)
    documents = _images(record, where) if "images" in record else texts_field(record, "documents", where)
    return _candidates(query, documents, numbers_field(record, "labels", where), record, where)


def read_teacher_scores(path: str | Path) -> Run:
    """Lines ``{"query": id, "document": id, "score": number}``: how another ranker scored the pairs.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, or a pair scored twice, with ``file:line``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "scores.jsonl"
        >>> _ = file.write_text('{"query": "q1", "document": "d7", "score": 3.5}')
        >>> read_teacher_scores(file)
        {'q1': {'d7': 3.5}}
    """
    run: Run = {}
    for record, where in read_objects(path):
        query, document = text_field(record, "query", where), text_field(record, "document", where)
        scores = run.setdefault(query, {})
        if document in scores:
            raise InputError(
                f"{where}: document {document!r} of query {query!r} is scored twice: keep one of the lines"
            )
        scores[document] = finite(record.get("score"), "score", where)
    return run


def _candidates(
    query: str, documents: tuple[str, ...], labels: tuple[float, ...], record: dict[str, Any], where: str
) -> CandidateList:
    """A list with the teacher's scores, if the record holds any."""
    taught = record.get("teacher_scores") is not None
    teacher_scores = numbers_field(record, "teacher_scores", where) if taught else None
    try:
        return CandidateList(query, documents, labels, teacher_scores)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _images(record: dict[str, Any], where: str) -> tuple[ImagePath, ...]:
    """The field ``images``, as paths that lead there from here."""
    if "documents" in record:
        raise InputError(f"{where}: holds documents and images: a list has one kind, leave the other field out")
    folder = Path(where.rpartition(":")[0]).parent
    paths = tuple(ImagePath(folder / name) for name in texts_field(record, "images", where))
    missing = next((path for path in paths if not os.path.isfile(path)), None)
    if missing is not None:
        raise InputError(f"{where}: no image file {missing}: paths are relative to the folder of the file")
    return paths

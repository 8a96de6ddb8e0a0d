"""TREC judgements and runs, as trec_eval reads them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from rankgrad._checks import InputError
from rankgrad._files import atomic_file
from rankgrad.data._lines import Line, read_lines
from rankgrad.data._trec_columns import WHITE, IrregularFileError, Layout, query_columns, words
from rankgrad.data.records import Qrels, Run

Repeated: TypeAlias = Literal["error", "last"]


class ScatteredQueryError(InputError):
    """A query's lines do not stand together, as streaming needs them."""


_QRELS = "query iteration document grade"
_RUN = "query Q0 document rank score tag"


def read_qrels(path: str | Path, *, repeated: Repeated = "error") -> Qrels:
    """Lines ``query iteration document grade``; lines that start with ``#`` are comments.

    Args:
        path: the file; ``.gz`` is unpacked.
        repeated: of a document graded more than once for a query, ``"error"`` refuses two different grades, and
            ``"last"`` takes the last one.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, with ``file:line``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "qrels"
        >>> write_qrels(file, {"301": {"FR94-1": 1, "FR94-2": 0}})
        >>> read_qrels(file)
        {'301': {'FR94-1': 1, 'FR94-2': 0}}
    """
    if repeated not in ("error", "last"):
        raise InputError(f'repeated: expected "error" or "last", got {repeated!r}')
    try:
        qrels = _regular_qrels(path, repeated)
    except IrregularFileError:
        qrels = {}
    if qrels:
        return qrels
    for (query, _, document, grade), line in _fields(path, _QRELS):
        if repeated == "last":
            qrels.get(query, {}).pop(document, None)
        add_judgement(qrels, query, document, grade, line)
    return qrels


def read_run(path: str | Path) -> Run:
    """Lines ``query Q0 document rank score tag``. The rank is ignored: as in trec_eval the scores give the order.

    What follows the tag is ignored too, and lines that start with ``#`` are comments.

    Returns:
        documents by score, best first; equal scores in the order of the file.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for a line that cannot be used, or a document listed twice, with ``file:line``.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "run"
        >>> _ = file.write_text("301 Q0 d1 1 0.5 x\\n301 Q0 d2 2 0.75 x\\n")
        >>> read_run(file)
        {'301': {'d2': 0.75, 'd1': 0.5}}
    """
    run: Run = {}
    for query, scores in _run_parts(path):
        there = run.get(query)
        if there is None:
            run[query] = scores
        elif there.keys().isdisjoint(scores):
            there.update(scores)
        else:
            _explain_run(path)
    return {query: dict(sorted(scores.items(), key=lambda item: -item[1])) for query, scores in run.items()}


def stream_run(path: str | Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The queries of a run one after the other, so that a file of any size needs the memory of one of them.

    Args:
        path: a file as for :func:`read_run`, each query's lines together.

    Returns:
        (query, score of each document in the order of the file).

    Raises:
        FileNotFoundError: when there is no such file.
        ScatteredQueryError: for a query that comes again after another one.
        InputError: as for :func:`read_run`.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "run"
        >>> _ = file.write_text("301 Q0 d1 1 0.5 x\\n301 Q0 d2 2 0.75 x\\n302 Q0 d1 1 0.5 x\\n")
        >>> list(stream_run(file))
        [('301', {'d1': 0.5, 'd2': 0.75}), ('302', {'d1': 0.5})]
    """
    seen: set[str] = set()
    for query, scores in _run_parts(path):
        if query in seen:
            raise ScatteredQueryError(
                f"{path}: query {query!r} comes again after another one: sort the file by query, or read_run"
            )
        seen.add(query)
        yield query, scores


def write_qrels(path: str | Path, qrels: Qrels) -> None:
    """Write judgements that :func:`read_qrels` and trec_eval read; the file appears whole or not at all."""
    _write(path, (f"{query} 0 {_id(name)} {grade}" for query, name, grade in _triples(qrels)))


def write_run(path: str | Path, run: Run, *, tag: str = "rankgrad") -> None:
    """Write a run that :func:`read_run` and trec_eval read, best document first; the file appears whole or not at all.

    trec_eval orders documents of equal score by their id, whatever their rank says.

    Args:
        path: the file.
        run: what to write.
        tag: the system's name, in the last column.

    Raises:
        InputError: for an id or a tag that is empty or holds white space, a query's id that starts with ``#``, or a
            score that is no number.
    """
    _write(path, _run_lines(run, _id(tag)))


def add_judgement(qrels: Qrels, query: str, document: str, grade: str, line: Line) -> None:
    """Put one judgement read from ``line`` into ``qrels``.

    Raises:
        InputError: for a grade that is no integer, or another grade than the one already there.
    """
    try:
        value = int(grade)
    except ValueError:
        raise InputError(f"{line.where}: grade {grade!r} is no integer") from None
    if qrels.setdefault(query, {}).setdefault(document, value) != value:
        before = qrels[query][document]
        raise InputError(f"{line.where}: document {document!r} of query {query!r} is graded {before} and {value}")


def _regular_qrels(path: str | Path, repeated: Repeated) -> Qrels:
    qrels: Qrels = {}
    for query, documents, grades in query_columns(path, Layout(4, 3), int):
        judged = qrels.setdefault(query, {})
        before = len(judged)
        judged.update(zip(documents, grades, strict=True))
        if repeated == "error" and len(judged) < before + len(documents):
            raise IrregularFileError
    return qrels


def _run_parts(path: str | Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Each run of lines of one query, its documents checked among themselves."""
    found = False
    try:
        for query, documents, values in query_columns(path, Layout(6, 4, more=True), float):
            scores = dict(zip(documents, values, strict=True))
            if len(scores) < len(documents) or math.isnan(sum(values)):
                _explain_run(path)
            found = True
            yield query, scores
    except IrregularFileError:
        _explain_run(path)
        raise
    if not found:
        _explain_run(path)


def _explain_run(path: str | Path) -> None:
    """Say what is wrong with the first line that cannot be used, if one is."""
    seen: dict[str, set[str]] = {}
    for (query, _, document, _, score, *_), line in _fields(path, _RUN, more=True):
        documents = seen.setdefault(query, set())
        if document in documents:
            raise InputError(f"{line.where}: document {document!r} of query {query!r} is listed twice")
        documents.add(document)
        try:
            number = float(score)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            raise InputError(f"{line.where}: score {score!r} is no number")


def _fields(path: str | Path, names: str, *, more: bool = False) -> Iterator[tuple[list[str], Line]]:
    wanted = len(names.split())
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        fields = words(line)
        if len(fields) < wanted or (len(fields) > wanted and not more):
            raise InputError(f"{line.where}: expected {wanted} columns ({names}), got {len(fields)}")
        yield fields, line


def _run_lines(run: Run, tag: str) -> Iterator[str]:
    for query, scores in run.items():
        ordered = sorted(scores.items(), key=lambda item: -item[1])
        for rank, (name, score) in enumerate(ordered, start=1):
            yield f"{_query_id(query)} Q0 {_id(name)} {rank} {_score(score, name)!r} {tag}"


def _triples(qrels: Qrels) -> Iterator[tuple[str, str, int]]:
    return ((_query_id(query), name, grade) for query, judged in qrels.items() for name, grade in judged.items())


def _write(path: str | Path, lines: Iterator[str]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def check_ids(queries: Iterable[str], documents: Iterable[str]) -> None:
    """Refuse ids that cannot stand in a file of this format, before what is to be written there is measured.

    Raises:
        InputError: naming the first.
    """
    for name in queries:
        _query_id(name)
    for name in documents:
        _id(name)


def _query_id(name: str) -> str:
    """A query's id, unless its lines would be read as comments."""
    if name.startswith("#"):
        raise InputError(f"query id {name!r} cannot stand in a TREC file: a line that starts with # is a comment")
    return _id(name)


def _score(score: float, name: str) -> float:
    """As Python's own number; NumPy's are written another way."""
    if math.isnan(score):
        raise InputError(f"document {name!r}: its score is NaN, which cannot be ordered")
    return float(score)


def _id(name: str) -> str:
    if not name or WHITE.search(name):
        raise InputError(f"id {name!r} cannot stand in a TREC file: it must be one word without white space")
    return name

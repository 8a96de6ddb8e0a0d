"""TREC judgements and runs, as trec_eval reads them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from rankgrad._checks import InputError
from rankgrad._files import atomic_file
from rankgrad.data._lines import Line, read_lines
from rankgrad.data.records import Qrels, Run


def read_qrels(path: str | Path) -> Qrels:
    """Lines ``query iteration document grade``; lines that start with ``#`` are comments.

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
    qrels: Qrels = {}
    for (query, _, document, grade), line in _fields(path, "query iteration document grade"):
        add_judgement(qrels, query, document, grade, line)
    return qrels


def read_run(path: str | Path) -> Run:
    """Lines ``query Q0 document rank score tag``. The rank is ignored: as in trec_eval the scores give the order.

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
    for (query, _, document, _, score, _), line in _fields(path, "query Q0 document rank score tag"):
        scores = run.setdefault(query, {})
        if document in scores:
            raise InputError(f"{line.where}: document {document!r} of query {query!r} is listed twice")
        try:
            scores[document] = float(score)
        except ValueError:
            raise InputError(f"{line.where}: score {score!r} is no number") from None
        if math.isnan(scores[document]):
            raise InputError(f"{line.where}: score {score!r} is no number")
    return {query: dict(sorted(scores.items(), key=lambda item: -item[1])) for query, scores in run.items()}


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
        InputError: for an id or a tag that is empty or holds white space.
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


def _fields(path: str | Path, names: str) -> Iterator[tuple[list[str], Line]]:
    wanted = len(names.split())
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != wanted:
            raise InputError(f"{line.where}: expected {wanted} columns ({names}), got {len(fields)}")
        yield fields, line


def _run_lines(run: Run, tag: str) -> Iterator[str]:
    for query, scores in run.items():
        ordered = sorted(scores.items(), key=lambda item: -item[1])
        for rank, (name, score) in enumerate(ordered, start=1):
            yield f"{_id(query)} Q0 {_id(name)} {rank} {score!r} {tag}"


def _triples(qrels: Qrels) -> Iterator[tuple[str, str, int]]:
    return ((_id(query), name, grade) for query, judged in qrels.items() for name, grade in judged.items())


def _write(path: str | Path, lines: Iterator[str]) -> None:
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _id(name: str) -> str:
    if not name or len(name.split()) != 1 or name != name.strip():
        raise InputError(f"id {name!r} cannot stand in a TREC file: it must be one word without white space")
    return name

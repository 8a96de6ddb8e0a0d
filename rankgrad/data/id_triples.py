"""Training examples by the ids of a collection: the triples and scored lists that teachers are published with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rankgrad._checks import InputError
from rankgrad.data._lines import Line, finite, read_lines
from rankgrad.data.records import CandidateList, Collection, Texts

_LAYOUTS = (
    "write query, positive, negative ids between tabs, or positive score, negative score and these ids, or a JSON "
    "array [query id, [document id, score], ...]"
)


def read_id_triples(path: str | Path, collection: Collection) -> Iterator[CandidateList]:
    """Read one example a line (plain or ``.gz``), in any of these layouts, the relevant document first:

    ``query<tab>positive<tab>negative``; ``positive score<tab>negative score<tab>query<tab>positive<tab>negative``, the
    scores a teacher's; ``[query, positive, negative, ...]``; ``[query, [positive, score], [negative, score], ...]``.
    Ids may be numbers in JSON.

    Args:
        path: the file.
        collection: has the texts.

    Returns:
        lists with the positive (label 1) first, one at a time, with ``teacher_scores`` where the line has scores.

    Raises:
        FileNotFoundError: when there is no such file.
        InputError: for an id that is not in the collection or a line that cannot be used, with ``file:line``.

    Reference:
        The layouts of MS MARCO's ``qidpidtriples``; of the teacher scores of Hofstätter et al., "Improving Efficient
        Neural Ranking Models with Cross-Architecture Knowledge Distillation", 2020; and of ColBERTv2's n-way examples,
        Santhanam et al., NAACL 2022.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "examples.tsv"
        >>> _ = file.write_text("9.5\\t1.5\\tq\\td2\\td1\\n")
        >>> collection = Collection("c", Texts(("d1", "d2"), ("Rome", "Paris")), Texts(("q",), ("France",)), {})
        >>> [(one.documents, one.teacher_scores) for one in read_id_triples(file, collection)]
        [(('Paris', 'Rome'), (9.5, 1.5))]
    """
    for line in read_lines(path):
        query, documents, scores = _array(line) if line.lstrip().startswith("[") else _columns(line)
        yield CandidateList(
            _text(collection.queries, "query", query, line.where),
            tuple(_text(collection.documents, "document", name, line.where) for name in documents),
            (1.0, *(0.0 for _ in documents[1:])),
            scores,
        )


def _columns(line: Line) -> tuple[str, Sequence[str], tuple[float, ...] | None]:
    fields = line.split("\t")
    if len(fields) == 3:
        return fields[0], fields[1:], None
    if len(fields) != 5:
        raise InputError(f"{line.where}: expected 3 or 5 columns between tabs, got {len(fields)}: {_LAYOUTS}")
    return fields[2], fields[3:], tuple(_number(field, line.where) for field in fields[:2])


def _array(line: Line) -> tuple[str, Sequence[str], tuple[float, ...] | None]:
    try:
        query, *items = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{line.where}: not valid JSON ({error.msg} at column {error.colno})") from None
    except ValueError:
        query, items = None, []
    if not items:
        raise InputError(f"{line.where}: no query id followed by documents: {_LAYOUTS}")
    pairs = [item for item in items if isinstance(item, list)]
    if not pairs:
        return _name(query, line.where), [_name(item, line.where) for item in items], None
    if len(pairs) < len(items) or any(len(pair) != 2 for pair in pairs):
        raise InputError(f"{line.where}: {len(items)} documents, not each with one score: {_LAYOUTS}")
    scores = tuple(finite(score, "score", line.where) for _, score in pairs)
    return _name(query, line.where), [_name(name, line.where) for name, _ in pairs], scores


def _name(value: Any, where: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise InputError(f"{where}: {json.dumps(value)} is no id: {_LAYOUTS}")
    return str(value)


def _number(field: str, where: str) -> float:
    try:
        return finite(float(field), "score", where)
    except ValueError:
        raise InputError(f"{where}: score {field!r} is no finite number") from None


def _text(texts: Texts, kind: str, name: str, where: str) -> str:
    if name not in texts:
        raise InputError(f"{where}: {kind} id {name!r} is not in the collection: mend the line or add the {kind}")
    return texts.text(name)

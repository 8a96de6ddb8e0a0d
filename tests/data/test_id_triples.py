"""Examples by ids: four layouts, and the line of each id or score that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankgrad._checks import InputError
from rankgrad.data import Collection, IdTriplesFile, Texts, read_id_triples, read_lists, read_triples

COLLECTION = Collection(
    "c", Texts(("d1", "d2", "3"), ("Rome", "Paris", "Oslo")), Texts(("q", "7"), ("France", "Norway")), {}
)


@pytest.mark.parametrize(
    ("line", "query", "documents", "scores"),
    [
        ("q\td2\td1", "France", ("Paris", "Rome"), None),
        ("2.5\t-1\tq\td2\td1", "France", ("Paris", "Rome"), (2.5, -1.0)),
        ('["q", "d2", "d1", 3]', "France", ("Paris", "Rome", "Oslo"), None),
        ('[7, [3, 4.5], ["d1", 0.5]]', "Norway", ("Oslo", "Rome"), (4.5, 0.5)),
    ],
)
def test_layouts(
    tmp_path: Path, line: str, query: str, documents: tuple[str, ...], scores: tuple[float, ...] | None
) -> None:
    file = tmp_path / "examples"
    file.write_text(f"{line}\n")
    (found,) = IdTriplesFile(file, COLLECTION).lists("train")
    assert (found.query, found.documents, found.teacher_scores) == (query, documents, scores)
    assert found.labels == (1.0, *(0.0,) * (len(documents) - 1))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q\td2\td9", "examples:2: document id 'd9' is not in the collection"),
        ("x\td2\td1", "examples:2: query id 'x' is not in the collection"),
        ("q\td2", "examples:2: expected 3 or 5 columns between tabs, got 2"),
        ("high\t1\tq\td2\td1", "examples:2: score 'high'"),
        ("nan\t1\tq\td2\td1", "examples:2: score 'nan'"),
        ('["q", "d2"', "examples:2: not valid JSON"),
        ('["q"]', "examples:2: no query id followed by documents"),
        ("[]", "examples:2: no query id followed by documents"),
        ('["q", ["d2", 1], "d1"]', "examples:2: 2 documents, not each with one score"),
        ('["q", ["d2", 1, 2]]', "examples:2: 1 documents, not each with one score"),
        ('["q", ["d2", "high"]]', "examples:2: score: expected a finite number"),
        ('["q", "d2", true]', "examples:2: true is no id"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "examples"
    file.write_text(f"q\td2\td1\n{line}\n")
    with pytest.raises(InputError, match=r"examples:2") as raised:
        list(read_id_triples(file, COLLECTION))
    assert message in str(raised.value)


def test_a_split_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="split 'validation'"):
        IdTriplesFile(tmp_path / "examples", COLLECTION).lists("validation")


@pytest.mark.parametrize("scores", ["[1]", "[1, 2, 3]", "[1, null]", "2"])
def test_teacher_scores_that_do_not_fit_name_their_line(tmp_path: Path, scores: str) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(
        f'{{"query": "q", "positive": "a", "negative": "b", "documents": ["a", "b"], "labels": [1, 0], '
        f'"teacher_scores": {scores}}}\n'
    )
    for read in (read_lists, read_triples):
        with pytest.raises(InputError, match=r"file\.jsonl:1: .*teacher_scores"):
            list(read(file))

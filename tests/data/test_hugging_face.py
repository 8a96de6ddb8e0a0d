"""Lists of the library ``datasets``: folders and files made here, in memory-mapped form and streamed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.data import CandidateList, HuggingFaceLists, ListDataModule, StreamedLists, StreamLoader
from rankgrad.tokens import PairTokenizer

ROWS = [
    {"query": f"q{row}", "positive": "open a file", "negative": ["read", "sort"], "scores": [3.0, row / 2, 0.0]}
    for row in range(10)
]


@pytest.fixture(scope="module")
def library() -> Any:
    """The library, silent."""
    found = pytest.importorskip("datasets", reason="datasets is not installed (the datasets extra)")
    found.disable_progress_bars()
    return found


@pytest.fixture
def caches(library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test for what the library converts."""
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path


@pytest.fixture
def folder(library: Any, caches: Path) -> Path:
    """A saved set with two splits."""
    rows = library.Dataset.from_list(ROWS)
    library.DatasetDict({"train": rows, "validation": rows.select(range(2))}).save_to_disk(caches / "saved")
    return caches / "saved"


def written(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(source: HuggingFaceLists, split: str = "train") -> list[CandidateList]:
    found = source.lists(split)
    assert isinstance(found, Sequence)
    return list(found)


EXPECTED = [
    CandidateList(f"q{row}", ("open a file", "read", "sort"), (1.0, 0.0, 0.0), (3.0, row / 2, 0.0)) for row in range(10)
]


def test_a_saved_folder_by_splits(folder: Path) -> None:
    source = HuggingFaceLists(folder, scores="scores")
    assert read(source) == EXPECTED
    assert read(source, "validation") == EXPECTED[:2]
    lists = source.lists("train")
    assert isinstance(lists, Sequence)
    assert (lists[-1], lists[2:4], len(lists)) == (EXPECTED[9], EXPECTED[2:4], 10)
    assert read(HuggingFaceLists({"train": folder / "train"}, scores="scores")) == EXPECTED
    with pytest.raises(InputError, match="has no split 'test': choose one of train, validation"):
        source.lists("test")


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_files(library: Any, caches: Path, kind: str) -> None:
    file = caches / f"rows.{kind}"
    rows = library.Dataset.from_list(ROWS)
    if kind == "csv":
        rows = rows.map(lambda row: {"negative": row["negative"][0]}).remove_columns("scores")
    {"jsonl": rows.to_json, "parquet": rows.to_parquet, "csv": rows.to_csv}[kind](file)
    found = read(HuggingFaceLists(file, scores=None if kind == "csv" else "scores"))
    assert found == (
        [CandidateList(one.query, one.documents[:2], (1.0, 0.0)) for one in EXPECTED] if kind == "csv" else EXPECTED
    )
    with pytest.raises(InputError, match="name one for 'validation'"):
        HuggingFaceLists(file).lists("validation")


def test_other_columns(caches: Path) -> None:
    row = {"anchor": "q", "yes": "a", "no_1": "b", "no_2": "c", "texts": ["a", "b"], "grades": [2, 0], "taught": [1, 0]}
    file = written(caches / "rows.jsonl", row)
    columns = HuggingFaceLists(file, query="anchor", positive="yes", negatives=["no_1", "no_2"])
    assert read(columns) == [CandidateList("q", ("a", "b", "c"), (1.0, 0.0, 0.0))]
    graded = HuggingFaceLists(file, query="anchor", documents="texts", labels="grades", scores="taught")
    assert read(graded) == [CandidateList("q", ("a", "b"), (2.0, 0.0), (1.0, 0.0))]
    pairs = HuggingFaceLists(file, query="anchor", positive="yes", negatives=None)
    assert read(pairs) == [CandidateList("q", ("a",), (1.0,))]


def test_one_number_beside_one_negative_is_a_margin(caches: Path) -> None:
    file = written(caches / "rows.jsonl", {"query": "q", "positive": "a", "negative": "b", "score": 2.5})
    assert read(HuggingFaceLists(file, scores="score"))[0].teacher_scores == (2.5, 0.0)


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"scores": [1.0]}, {"scores": "scores"}, "rows.jsonl row 1: teacher_scores of query 'q': got 1 for 2"),
        ({"query": " "}, {}, "rows.jsonl row 1: field 'query' is empty"),
        ({"negative": []}, {}, "rows.jsonl row 1: field 'negative' must be a list"),
        ({}, {"positive": "yes"}, "has no column 'yes'"),
        ({}, {"labels": "grades"}, "name both columns or neither"),
    ],
)
def test_rows_that_cannot_be_used(
    library: Any, caches: Path, row: dict[str, Any], columns: dict[str, Any], message: str
) -> None:
    good = {"query": "q", "positive": "a", "negative": ["b"], "scores": [2.0, 1.0]}
    file = written(caches / "rows.jsonl", good, {**good, **row})
    with pytest.raises(InputError) as raised:
        read(HuggingFaceLists(file, **columns))
    assert message in str(raised.value)


@pytest.mark.parametrize("workers", [0, 2])
def test_streaming_reads_all_rows_in_each_process(folder: Path, workers: int) -> None:
    lists = HuggingFaceLists(folder, scores="scores", streaming=True, buffer=4).stream("train")
    assert isinstance(lists, StreamedLists)
    assert len(lists) == 10
    batches = list(StreamLoader(lists, list, batch_size=3, workers=workers))
    assert [len(batch) for batch in batches] == [3, 3, 3, 1]
    found = [one for batch in batches for one in batch]
    assert sorted(found, key=lambda one: one.query) == EXPECTED
    assert found != EXPECTED


def test_streamed_files_feed_the_data_module(caches: Path, pair_tokenizer: PairTokenizer) -> None:
    file = written(caches / "rows.jsonl", *ROWS)
    source = HuggingFaceLists({"train": file, "validation": file}, streaming=True, size=10)
    data = ListDataModule(source, batch_size=4, tokenizer=pair_tokenizer)
    data.setup()
    assert sum(len(batch.labels) for batch in data.train_dataloader()) == 10
    assert sum(len(batch.labels) for batch in data.val_dataloader()) == 10


def test_what_is_not_there(library: Any, caches: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.parquet"):
        HuggingFaceLists("nowhere.parquet").lists("train")
    with pytest.raises(InputError, match="no set for split 'test': there is one for train"):
        HuggingFaceLists({"train": "a/b"}).lists("test")
    monkeypatch.setitem(sys.modules, "datasets", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"rankgrad\[datasets\]"):
        HuggingFaceLists("a/b").lists("train")

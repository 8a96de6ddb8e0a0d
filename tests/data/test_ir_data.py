"""Collections of ``ir_datasets``: sets made here, of files and of objects."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rankgrad._checks import InputError, MissingExtraError
from rankgrad.data import IRDatasets, ListDataModule, ScoredDocuments

DOCUMENTS = {"d1": "Rome is in Italy", "d2": "Paris is in France", "d3": "Oslo is in Norway"}
QUERIES = {"train": {"q1": "capital of France"}, "validation": {"q2": "capital of Norway"}}


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with its home in a folder of the test."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))
    return pytest.importorskip("ir_datasets", reason="ir_datasets is not installed (the datasets extra)")


def written(folder: Path, library: Any, split: str, qrels: str) -> Any:
    """A set in files, as ``ir_datasets.create_dataset`` opens them."""
    (folder / "docs.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in DOCUMENTS.items()))
    (folder / f"{split}.tsv").write_text("".join(f"{name}\t{text}\n" for name, text in QUERIES[split].items()))
    (folder / f"{split}.qrels").write_text(qrels)
    return library.create_dataset(
        docs_tsv=str(folder / "docs.tsv"),
        queries_tsv=str(folder / f"{split}.tsv"),
        qrels_trec=str(folder / f"{split}.qrels"),
    )


def test_a_set_in_files_becomes_a_collection(tmp_path: Path, library: Any) -> None:
    train = written(tmp_path, library, "train", "q1 0 d2 2\nq1 0 d1 0\n")
    validation = written(tmp_path, library, "validation", "q2 0 d3 1\n")
    collection = IRDatasets({"train": train, "validation": validation}, name="capitals").load()
    assert dict(zip(collection.documents.ids, collection.documents.texts, strict=True)) == DOCUMENTS
    assert collection.qrels == {"train": {"q1": {"d2": 2, "d1": 0}}, "validation": {"q2": {"d3": 1}}}
    assert collection.task("validation").queries.texts == ("capital of Norway",)
    assert collection.name == "capitals"
    module = ListDataModule(IRDatasets({"train": train}), validation_split=None, negatives=2)
    module.prepare_lists()
    assert module.train_lists is not None
    assert module.train_lists[0, 0].documents[0] == DOCUMENTS["d2"]  # type: ignore[index]


def test_scored_documents_are_candidates(tmp_path: Path, library: Any) -> None:
    from ir_datasets.datasets.base import Dataset
    from ir_datasets.formats import TrecScoredDocs
    from ir_datasets.util import LocalDownload

    (tmp_path / "run").write_text("q1 Q0 d1 1 1.5 x\nq1 Q0 d2 2 2.5 x\nq1 Q0 d9 3 0.5 x\n")
    train = written(tmp_path, library, "train", "q1 0 d2 1\n")
    scored = Dataset(train, TrecScoredDocs(LocalDownload(str(tmp_path / "run"))))
    collection = IRDatasets({"train": train}).load()
    assert ScoredDocuments({"train": scored})(collection, "train") == {"q1": {"d2": 2.5, "d1": 1.5}}
    assert list(ScoredDocuments({"train": scored})(collection, "train")["q1"]) == ["d2", "d1"]
    with pytest.raises(InputError, match="no set for split 'test'"):
        ScoredDocuments({"train": scored})(collection, "test")
    with pytest.raises(InputError, match="the set 'train' has no scoreddocs"):
        ScoredDocuments({"train": train})(collection, "train")


def test_what_a_set_lacks_is_named(tmp_path: Path, library: Any) -> None:
    train = written(tmp_path, library, "train", "q1 0 d2 1\nq1 0 d2 0\n")
    with pytest.raises(InputError, match="knows no set 'no/such'"):
        IRDatasets({"train": "no/such"}).load()
    with pytest.raises(InputError, match="grades document 'd2' of query 'q1' twice"):
        IRDatasets({"train": train}).load()
    bare = library.create_dataset(queries_tsv=str(tmp_path / "train.tsv"))
    with pytest.raises(InputError, match="the set 'train' has no qrels"):
        IRDatasets({"train": bare}).load()


def test_texts_of_one_id_must_be_equal() -> None:
    def opened(*texts: str) -> Any:
        return SimpleNamespace(
            docs_iter=lambda: iter([SimpleNamespace(doc_id="d", text=text) for text in texts]),
            queries_iter=lambda: iter([]),
            qrels_iter=lambda: iter([]),
        )

    assert IRDatasets({"train": opened("Oslo", "Oslo")}).load().documents.texts == ("Oslo",)
    with pytest.raises(InputError, match="doc_id 'd' with two different texts"):
        IRDatasets({"train": opened("Oslo", "Rome")}).load()
    with pytest.raises(InputError, match="splits: none given"):
        IRDatasets({})


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ir_datasets", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"rankgrad\[datasets\]"):
        IRDatasets({"train": "beir/scifact/train"}).load()

"""Writing an index is stopped at every step: what is found afterwards is the old index or the new one, whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import DenseRetriever, FaissIndex, SparseRetriever

CALLS = ("mkdir", "open", "chmod", "fsync", "replace", "rename", "unlink", "rmdir")


class Killed(BaseException):
    """The process is gone: nothing that it had still to do is done."""


class Steps:
    """Counts the calls that change the file system, and stops at one of them.

    Args:
        patch: of the test.
        last: the step that does not come about; None = all do.
        dies: whether the process ends there, so that nothing tidies up; else that step alone fails.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *, last: int | None, dies: bool) -> None:
        self.taken, self.last, self.dies = 0, last, dies
        for name in CALLS:
            patch.setattr(os, name, self.counted(getattr(os, name)))
        patch.setattr(safetensors.torch, "save_file", self.halved(safetensors.torch.save_file))
        patch.setattr(Path, "write_text", self.halved(Path.write_text))
        patch.setattr(FaissIndex, "write", self.halved(FaissIndex.write))

    def counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            self.stop()
            return call(*arguments, **options)

        return step

    def halved(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A step in the middle of writing a file: half of it is there."""

        def step(*arguments: Any, **options: Any) -> Any:
            try:
                self.stop()
            except BaseException:
                path = next(each for each in arguments if isinstance(each, Path))
                (path / options["name"] if "name" in options else path).write_bytes(b"{half")
                raise
            return call(*arguments, **options)

        return step

    def stop(self) -> None:
        self.taken += 1
        if self.last is not None and (self.taken == self.last or (self.dies and self.taken > self.last)):
            raise Killed if self.dies else OSError("no space left on device")


def exact(version: int) -> DenseRetriever:
    return DenseRetriever(None, embeddings=torch.eye(4)[:version] * version)  # type: ignore[arg-type]


def faiss(version: int) -> DenseRetriever:
    return DenseRetriever(None, embeddings=torch.eye(4)[:version] * version, faiss="Flat")  # type: ignore[arg-type]


def sparse(version: int) -> SparseRetriever:
    return SparseRetriever(vectors=torch.eye(4)[:version] * version)


def version_in(folder: Path, kind: Callable[[int], Any]) -> int:
    """How many documents there are; their scores say that all of it is of one version."""
    load = SparseRetriever.load if kind is sparse else DenseRetriever.load
    retriever = load(folder, None)  # type: ignore[arg-type]
    ranking = retriever.rank_vectors(torch.ones(1, 4), retriever.documents)
    assert ranking.scores.tolist() == [[float(retriever.documents)] * retriever.documents]
    return retriever.documents


@pytest.mark.parametrize("dies", [True, False], ids=["killed", "failed"])
@pytest.mark.parametrize(("kind", "files"), [(exact, 2), (faiss, 3), (sparse, 2)])
def test_the_old_index_or_the_new_one(kind: Callable[[int], Any], files: int, dies: bool, tmp_path: Path) -> None:
    if kind is faiss:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    folder, old, new = tmp_path / "index", kind(2), kind(3)
    found: list[int] = []
    taken = 1000
    while taken > len(found):
        if len(found) % 2:
            shutil.rmtree(folder)  # the names of a first version are others than those of a later one
        old.save(folder)
        assert len(list(folder.iterdir())) == files, "what a killed process left is swept up"
        ended = False
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed, OSError):
            steps = Steps(patch, last=len(found) + 1, dies=dies)
            new.save(folder)
            ended = True
        taken = steps.taken
        found.append(version_in(folder, kind))
        assert found[-1] in ({3} if ended else {2, 3})
    assert set(found) == {2, 3}
    assert not dies or found == sorted(found), "an old index after a new one"
    assert len(found) > 5 * files
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


@pytest.mark.parametrize("kind", [exact, faiss])
def test_a_reader_beside_a_writer_finds_the_newer_index(kind: Callable[[int], Any], tmp_path: Path) -> None:
    """The index is replaced when its settings have been read, and the files that they name are gone."""
    if kind is faiss:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    folder, newer = tmp_path / "index", [kind(3)]
    kind(2).save(folder)
    read = FaissIndex.read if kind is faiss else safetensors.torch.load_file

    def late(*arguments: Any, **options: Any) -> Any:
        if newer:
            newer.pop().save(folder)
        return read(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*(FaissIndex, "read") if kind is faiss else (safetensors.torch, "load_file"), late)
        assert version_in(folder, kind) == 3


def test_an_index_with_the_names_of_earlier_releases(tmp_path: Path) -> None:
    pytest.importorskip("faiss", reason="FAISS is an optional extra")
    faiss(2).save(tmp_path / "index")
    settings = tmp_path / "index" / "index.json"
    said = settings.read_text()
    settings.write_text(said.replace(', "engine": "index.faiss"', ""))
    assert settings.read_text() != said
    assert version_in(tmp_path / "index", faiss) == 2
    settings.write_text(said.replace("index.faiss", "../index.faiss"))
    with pytest.raises(InputError, match="names engine outside its folder"):
        version_in(tmp_path / "index", faiss)

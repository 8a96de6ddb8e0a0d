"""Answers and indexes kept from run to run: found by content, made anew when anything differs or is damaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import Task, Texts
from rankgrad.evaluation import AnswerCache, Experiment, cached_index, folder_fingerprint, task_fingerprint
from rankgrad.rerank import LateInteractionReranker
from rankgrad.types import PackedTokens, Queries, Ranking

Answer = Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]
SETTINGS = {"depth": 10, "model": "abc"}


class Counted:
    """A system that counts what it is asked."""

    def __init__(self, system: Callable[[Queries], Ranking]) -> None:
        self.system = system
        self.asked = 0

    def __call__(self, queries: Queries) -> Ranking:
        self.asked += len(queries)
        return self.system(queries)


@pytest.fixture
def system(answer: Answer) -> Counted:
    return Counted(answer(lambda i: [i] if i % 2 else [(i + 4) % 9, i]))


def run(system: Counted, task: Task, folder: Path, settings: Any = SETTINGS) -> Any:
    kept = {} if settings is None else {"one": settings}
    experiment = Experiment({"one": system}, task, baseline="one", cache=AnswerCache(folder), settings=kept)
    return experiment.run(progress=False)


def test_answers_are_kept(system: Counted, task: Task, tmp_path: Path) -> None:
    first = run(system, task, tmp_path)
    asked = system.asked
    second = run(system, task, tmp_path, dict(reversed(SETTINGS.items())))
    assert system.asked == asked > 0
    assert [one.kept for one in (*first.systems, *second.systems)] == [False, True]
    assert second.systems[0] == replace(first.systems[0], kept=True)
    assert second.runs == first.runs
    assert "kept from an earlier run: one" in str(second.table().caption)
    assert "earlier" not in str(first.table().caption)


def test_judgements_change_values_without_asking_again(system: Counted, task: Task, tmp_path: Path) -> None:
    run(system, task, tmp_path)
    asked = system.asked
    other = replace(task, qrels={query: {"d0": 1} for query in task.qrels})
    found = run(system, other, tmp_path)
    assert system.asked == asked
    assert (
        found.systems[0].values
        == Experiment({"one": system}, other, baseline="one").run(progress=False).systems[0].values
    )


def changed_document(task: Task) -> Task:
    return replace(task, documents=Texts(task.documents.ids, (*task.documents.texts[:-1], "other")))


def moved_boundary(task: Task) -> Task:
    """The same characters, shared out between two texts otherwise."""
    first, second, *rest = task.documents.texts
    return replace(task, documents=Texts(task.documents.ids, (first + second[:1], second[1:], *rest)))


def fewer_queries(task: Task) -> Task:
    return task.sample(5)


@pytest.mark.parametrize("change", [changed_document, moved_boundary, fewer_queries])
def test_other_texts_are_asked_anew(
    change: Callable[[Task], Task], system: Counted, task: Task, tmp_path: Path
) -> None:
    assert task_fingerprint(change(task)) != task_fingerprint(task)
    run(system, task, tmp_path)
    asked = system.asked
    run(system, change(task), tmp_path)
    assert system.asked > asked


@pytest.mark.parametrize("settings", [{"depth": 11, "model": "abc"}, None])
def test_other_settings_or_none_are_asked_anew(settings: Any, system: Counted, task: Task, tmp_path: Path) -> None:
    for _ in range(2):
        before = system.asked
        run(system, task, tmp_path, settings if before else SETTINGS)
        assert system.asked > before
    assert len(list(tmp_path.iterdir())) == (1 if settings is None else 2)


def cut(content: bytes) -> bytes:
    return content[:-9]


def flipped(content: bytes) -> bytes:
    """One bit of the payload, which safetensors does not notice."""
    return content[:-1] + bytes([content[-1] ^ 1])


def emptied(content: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut, flipped, emptied])
def test_a_damaged_answer_is_made_anew(
    damage: Callable[[bytes], bytes], system: Counted, task: Task, tmp_path: Path
) -> None:
    first = run(system, task, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    asked = system.asked
    with pytest.warns(RuntimeWarning, match="damaged .*: its answers are made anew"):
        second = run(system, task, tmp_path)
    assert system.asked > asked
    assert second.systems[0].values == first.systems[0].values
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    asked = system.asked
    run(system, task, tmp_path)
    assert system.asked == asked


def test_settings_are_plain_and_of_a_system(system: Counted, task: Task, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        run(system, task, tmp_path, {"model": system})
    with pytest.raises(InputError, match="settings: 'two' is no system: choose among 'one'"):
        Experiment({"one": system}, task, baseline="one", settings={"two": 1})


class Encoder:
    def __init__(self) -> None:
        self.encoded = 0

    def encode_queries(self, texts: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(len(texts), 1, 2), torch.ones(len(texts), 1, dtype=torch.bool)

    def encode_documents(self, texts: Any) -> PackedTokens:
        self.encoded += len(texts)
        vectors = torch.tensor([[float(len(text)), 1.0] for text in texts])
        return PackedTokens(vectors, torch.arange(len(texts) + 1, dtype=torch.int32))


TEXTS = ("a", "bb", "ccc")


@pytest.mark.parametrize("damage", [cut, flipped, emptied, None])
def test_an_index_is_kept_and_a_damaged_one_made_anew(damage: Callable[[bytes], bytes] | None, tmp_path: Path) -> None:
    encoder = Encoder()
    first = cached_index(LateInteractionReranker(encoder, TEXTS), tmp_path, settings="m")
    again = cached_index(LateInteractionReranker(encoder, TEXTS), tmp_path, settings="m")
    assert encoder.encoded == 3
    assert torch.equal(again.embeddings, first.embeddings)  # type: ignore[arg-type]
    cached_index(LateInteractionReranker(encoder, TEXTS), tmp_path, settings="other model")
    cached_index(LateInteractionReranker(encoder, TEXTS[::-1]), tmp_path, settings="m")
    assert encoder.encoded == 9
    for path in tmp_path.rglob("*.safetensors"):
        if damage is None:
            (path.parent / "index.json").unlink()
        else:
            path.write_bytes(damage(path.read_bytes()))
    mended = cached_index(LateInteractionReranker(encoder, TEXTS), tmp_path, settings="m")
    assert encoder.encoded == 12
    assert torch.equal(mended.embeddings, torch.tensor([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]))  # type: ignore[arg-type]
    cached_index(LateInteractionReranker(encoder, TEXTS), tmp_path, settings="m")
    assert encoder.encoded == 12


def test_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("x")
    first = folder_fingerprint(tmp_path)
    (tmp_path / ".lock").write_text("y")
    assert folder_fingerprint(tmp_path) == first
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    second = folder_fingerprint(tmp_path)
    (tmp_path / "sub" / "b").write_text("z")
    assert len({first, second, folder_fingerprint(tmp_path)}) == 3

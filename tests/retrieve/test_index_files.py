"""Every index on disk: it comes back whole, and a half-written or a strange folder is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import BM25, RM3, TFIDF, Bo1, LearnableBM25, QueryLikelihood, SparseRetriever

TEXTS = ["a cat", "two cats sat", "a dog"]
MAKERS: dict[str, Callable[[], object]] = {
    "tfidf": lambda: TFIDF(TEXTS, sublinear=True),
    "query_likelihood": lambda: QueryLikelihood(TEXTS, smoothing="jelinek-mercer", collection_weight=0.4),
    "sparse": lambda: SparseRetriever(vectors=torch.eye(3)),
    "rm3": lambda: RM3(BM25(TEXTS), TEXTS),
    "bo1": lambda: Bo1(BM25(TEXTS), TEXTS),
    "learnable_bm25": lambda: LearnableBM25(TEXTS),
}


def load(stage: object, folder: Path) -> object:
    if isinstance(stage, RM3 | Bo1):
        return type(stage).load(folder, stage.retriever)
    return type(stage).load(folder)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", MAKERS)
def test_damaged_folders(kind: str, tmp_path: Path) -> None:
    stage, folder = MAKERS[kind](), tmp_path / "index"
    stage.save(folder)  # type: ignore[attr-defined]
    other = load(stage, folder)
    assert {name: getattr(other, name) for name in vars(stage) if name in ("sublinear", "smoothing", "shares")} == {
        name: value for name, value in vars(stage).items() if name in ("sublinear", "smoothing", "shares")
    }
    state, expected = other.state_dict(), stage.state_dict()  # type: ignore[attr-defined]
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)
    tensors = (folder / "index.safetensors").read_bytes()
    (folder / "index.safetensors").write_bytes(tensors[:-3])
    with pytest.raises(InputError, match=r"index\.safetensors is cut off or damaged"):
        load(stage, folder)
    (folder / "index.safetensors").write_bytes(tensors)
    settings = json.loads((folder / "index.json").read_text())
    dropped = {name: value for name, value in settings.items() if name in ("kind", "format_version")}
    (folder / "index.json").write_text(json.dumps(dropped))
    with pytest.raises(InputError, match="is no complete"):
        load(stage, folder)
    (folder / "index.json").write_text(json.dumps(settings | {"kind": "another"}))
    with pytest.raises(InputError, match=f"another.* expected .*{kind}"):
        load(stage, folder)
    (folder / "index.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"index\.safetensors is missing"):
        load(stage, folder)
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(InputError, match="holds other files"):
        stage.save(tmp_path)  # type: ignore[attr-defined]


def test_postings_of_another_vocabulary(tmp_path: Path) -> None:
    TFIDF(TEXTS).save(tmp_path / "index")
    settings = json.loads((tmp_path / "index" / "index.json").read_text())
    settings["vocabulary"].pop()
    (tmp_path / "index" / "index.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="vocabulary and tensors are of different indexes"):
        TFIDF.load(tmp_path / "index")

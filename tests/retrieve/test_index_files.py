"""Every index on disk: it comes back whole, and a half-written or a strange folder is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.retrieve import (
    BM25,
    RM3,
    TFIDF,
    Bo1,
    LateInteractionRetriever,
    LearnableBM25,
    QueryLikelihood,
    SparseRetriever,
)
from rankgrad.types import PackedTokens

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


@pytest.mark.parametrize("content", ['{"name": "a site"}', '{"kind": "bm25"}', '["a"]', "no JSON", "\xff"])
def test_a_strange_index_json_is_left_alone(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    (folder / "pages").mkdir(parents=True)
    (folder / "index.json").write_text(content, encoding="latin-1")
    (folder / "index.html").write_text("hello")
    with pytest.raises(InputError, match=r"site holds an index\.json that is none of ours, or damaged"):
        BM25(TEXTS).save(folder)
    assert {path.name for path in folder.iterdir()} == {"pages", "index.json", "index.html"}
    assert (folder / "index.json").read_text(encoding="latin-1") == content


def test_a_newer_index_leaves_other_files_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    BM25(TEXTS).save(folder)
    own = {"notes.txt", "index.html", "index-old.safetensors", ".index.swp"}
    for name in own:
        (folder / name).write_text("mine")
    (folder / "pages").mkdir()
    left = [".index.json.123.part", f".index-{'0' * 32}.safetensors.7.part", f"index-{'a' * 32}.faiss", ".tmpAb12Cd"]
    for name in left:
        (folder / name).write_text("half")
    for documents in (TEXTS[:2], TEXTS):
        BM25(documents).save(folder)
        assert BM25.load(folder).documents == len(documents)
        tensors = json.loads((folder / "index.json").read_text())["tensors"]
        assert {path.name for path in folder.iterdir()} == own | {"pages", "index.json", tensors}


def test_an_index_of_another_kind_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    BM25(TEXTS).save(folder)
    with pytest.raises(
        InputError, match="index holds an index of kind 'bm25', which one of kind 'tfidf' would replace"
    ):
        TFIDF(TEXTS).save(folder)
    assert BM25.load(folder).documents == 3
    tokens = PackedTokens(torch.eye(8), torch.tensor([0, 3, 8]))
    late = LateInteractionRetriever(None, embeddings=tokens)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="kind 'bm25'"):
        late.save_index(folder)
    late.save_index(folder, overwrite=True)
    assert LateInteractionRetriever.load(folder, None).documents == 2  # type: ignore[arg-type]
    assert len(list(folder.iterdir())) == 2


def test_postings_of_another_vocabulary(tmp_path: Path) -> None:
    TFIDF(TEXTS).save(tmp_path / "index")
    settings = json.loads((tmp_path / "index" / "index.json").read_text())
    settings["vocabulary"].pop()
    (tmp_path / "index" / "index.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match="vocabulary and tensors are of different indexes"):
        TFIDF.load(tmp_path / "index")

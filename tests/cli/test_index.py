"""``rankgrad index`` and ``rankgrad search --index``: the model's own order, and input that cannot be used."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rankgrad.models import ColBERT
from rankgrad.retrieve import LateInteractionRetriever

QUERY = "read a file"
INDEX = ("index", "{colbert}", "--corpus", "{beir}", "--out", "index")
EXACT = (*INDEX, "--exact")
SEARCH = ("search", "--index", "index", QUERY, "--json")


def filled(words: tuple[str, ...], folders: Any) -> list[str]:
    return [word.format(**folders._asdict()) for word in words]


def texts(folders: Any) -> dict[str, str]:
    rows = [json.loads(line) for line in (folders.beir / "corpus.jsonl").read_text().splitlines()]
    return {row["_id"]: row["text"] for row in rows}


@pytest.mark.parametrize(
    ("options", "width", "tolerance"),
    [
        (("--exact",), None, 5e-3),
        (("--codec", "int8", "--repetitions", "2"), 2 * 16 * 16, 0.05),
        (("--faiss", "Flat", "--final-dim", "64"), 64, 5e-3),
    ],
)
@pytest.mark.parametrize("bundle", [False, True])
def test_search_finds_in_the_order_of_the_model(
    run: Any,
    folders: Any,
    tmp_path: Path,
    options: tuple[str, ...],
    width: int | None,
    tolerance: float,
    bundle: bool,
) -> None:
    if "--faiss" in options:
        pytest.importorskip("faiss", reason="FAISS is an optional extra")
    model = folders.colbert_bundle if bundle else folders.colbert
    corpus = folders.beir / "corpus.jsonl" if bundle else folders.beir
    made = run("index", model, "--corpus", corpus, "--out", "index", "--json", *options)
    assert made.code == 0, made.err
    written = json.loads(made.out)
    assert written["documents"] == 5
    assert written["encoding_dim"] == width
    assert made.err.startswith("rankgrad: wrote index: 5 documents, ")
    found = run(*SEARCH, "-k", 5)
    assert found.code == 0, found.err
    results = json.loads(found.out)["results"]
    colbert = ColBERT.from_pretrained(folders.colbert)
    own = colbert.score([QUERY], colbert.encode_documents(list(texts(folders).values())))[0].tolist()
    expected = dict(zip(texts(folders), own, strict=True))
    assert {row["id"]: row["score"] for row in results} == pytest.approx(expected, abs=tolerance)
    assert [row["text"] for row in results] == [texts(folders)[row["id"]] for row in results]
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["index.json", "index.safetensors"]


def test_an_index_is_replaced_when_told_to_and_its_model_may_move(run: Any, folders: Any, tmp_path: Path) -> None:
    shutil.copytree(folders.colbert, tmp_path / "model")
    words = filled(("index", "model", "--corpus", "{beir}", "--out", "index", "--exact"), folders)
    assert run(*words).code == 0
    refused = run(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "index holds an index already: pass --overwrite" in refused.err
    assert run(*words, "--overwrite", "--codec", "sign").code == 0
    first = run(*SEARCH)
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    gone = run(*SEARCH)
    assert gone.code == 2
    assert "which is gone: say with --encoder where the model is" in gone.err
    assert run(*SEARCH, "--encoder", "elsewhere") == first
    then = json.loads(run(*SEARCH, "--encoder", "elsewhere", "--model", folders.cross_encoder, "-k", 2).out)
    assert len(then["results"]) == 2
    assert run(*SEARCH, "--encoder", "elsewhere", "--explain").code == 0


BAD = [
    ("a cross-encoder", ("index", "{cross_encoder}", *INDEX[2:]), "holds a cross-encoder, which has no token"),
    ("no model", ("index", "nowhere", *INDEX[2:]), "nowhere does not exist"),
    ("no corpus", (*INDEX[:3], "nowhere", *INDEX[4:]), "nowhere is no folder"),
    ("no such codec", (*INDEX, "--codec", "fp8"), "invalid choice: 'fp8'"),
    ("over other files", (*INDEX[:5], "{beir}"), "holds other files"),
    ("FAISS without encodings", (*EXACT, "--faiss", "Flat"), "--faiss says nothing beside --exact"),
    ("MUVERA without encodings", (*EXACT, "--repetitions", "2", "--final-dim", "8"), "--repetitions, --final-dim say"),
    ("too many partitions", (*INDEX, "--partition-bits", "11"), "partition_bits: expected 0 to 10, got 11"),
    ("no index", ("search", "--index", "nowhere", QUERY), "nowhere is no index: index.json is missing"),
    ("index of nothing", ("search", "--index", "{beir}", QUERY), "is no index: index.json is missing"),
    ("both", ("search", "--index", "index", "--data", "{beir}", QUERY), "not allowed with argument"),
    ("neither", ("search", QUERY), "one of the arguments --data --index is required"),
    ("encoder of words", ("search", "--data", "{beir}", "--encoder", "{colbert}", QUERY), "--encoder is the model of"),
]


@pytest.mark.parametrize(("words", "message"), [pytest.param(*row[1:], id=row[0]) for row in BAD])
def test_bad_input(run: Any, folders: Any, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    outcome = run(*filled(words, folders))
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert outcome.err.startswith("rankgrad: error: ")
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_indexes_that_cannot_be_searched(run: Any, folders: Any, tmp_path: Path) -> None:
    assert run(*filled(EXACT, folders)).code == 0
    over = run(*SEARCH, "-k", 6)
    assert "-k 6 is more than the 5 documents of index" in over.err
    other = ColBERT.from_pretrained(folders.encoder, dim=8)
    other.save_pretrained(tmp_path / "other")
    assert "queries have 8 dimensions, the index 16" in run(*SEARCH, "--encoder", "other").err
    tensors = tmp_path / "index" / "index.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-5])
    assert "index.safetensors is cut off or damaged" in run(*SEARCH).err
    tensors.unlink()
    assert "index.safetensors is missing" in run(*SEARCH).err
    LateInteractionRetriever(other, ["a text"]).save_index(tmp_path / "unnamed")
    assert "unnamed does not name its documents" in run("search", "--index", "unnamed", QUERY).err


def test_an_index_changed_from_python_is_refused(run: Any, folders: Any, tmp_path: Path) -> None:
    """Its names stand by place, and after a deletion row numbers are places no more."""
    assert run(*filled(EXACT, folders)).code == 0
    changed = LateInteractionRetriever.load(tmp_path / "index", ColBERT.from_pretrained(folders.colbert))
    changed.delete([0])
    changed.add(["read a file"])
    changed.save_index(tmp_path / "index")
    outcome = run(*SEARCH)
    assert (outcome.code, outcome.out) == (2, "")
    assert "documents were deleted or added since `rankgrad index` named them" in outcome.err

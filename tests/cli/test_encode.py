"""``rankgrad encode``: kinds of encoders and corpora, going on, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankgrad.models import DenseEncoder
from rankgrad.modules.sparse_rows import SparseRows
from rankgrad.retrieve import EncodedCorpus
from rankgrad.types import PackedTokens

ACCELERATOR = ("--accelerator", "cpu")


def test_a_colbert_and_a_beir_folder(run, folders, tmp_path: Path) -> None:
    done = run("encode", folders.colbert, "--corpus", folders.beir, "--out", "out", "--shard-size", 2, *ACCELERATOR)
    assert (done.code, done.out) == (0, "")
    assert "5 documents are in 3 shards in out" in done.err
    corpus = EncodedCorpus(tmp_path / "out")
    assert corpus.ids() == ("d1", "d2", "d3", "d4", "d5")
    assert isinstance(corpus.vectors(), PackedTokens)
    again = run("encode", folders.colbert, "--corpus", folders.beir, "--out", "out", "--shard-size", 2, *ACCELERATOR)
    assert (again.code, "encoded" in again.err) == (0, False)
    other = run("encode", folders.encoder, "--corpus", folders.beir, "--out", "out", "--shard-size", 2, *ACCELERATOR)
    assert other.code == 2
    assert "was encoded with other settings: name another folder, or overwrite it" in other.err


def test_a_sparse_encoder_and_a_file(run, tiny_mlm_folder: Path, tmp_path: Path) -> None:
    lines = [json.dumps({"_id": f"d{row}", "title": "read", "text": f"file {row}"}) for row in range(3)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    done = run("encode", tiny_mlm_folder, "--corpus", "corpus.jsonl", "--out", "out", "--json", *ACCELERATOR)
    assert done.code == 0, done.err
    assert json.loads(done.out) == {"out": "out", "kind": "sparse", "documents": 3, "shards": 1}
    assert isinstance(EncodedCorpus(tmp_path / "out").vectors(), SparseRows)


def test_models_of_a_hub_are_told_apart(run, folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankgrad.cli.encode._model", lambda name, kind: DenseEncoder.from_pretrained(folders.encoder))
    words = ("--kind", "dense", "--corpus", folders.beir, "--out", "out", *ACCELERATOR)
    assert run("encode", "organisation/small", *words).code == 0
    other = run("encode", "organisation/base", *words)
    assert other.code == 2
    assert "was encoded with other settings" in other.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere", "--corpus", "BEIR", "--out", "out"), "nowhere is no folder: pass an encoder's folder"),
        ((".", "--corpus", "BEIR", "--out", "out"), ". holds no model (no config.json)"),
        (("ENCODER", "--corpus", "nowhere", "--out", "out"), "nowhere is no folder"),
        (("ENCODER", "--corpus", "empty.jsonl", "--out", "out"), "empty.jsonl: the file is empty"),
        (("ENCODER", "--corpus", "BEIR", "--out", "."), "holds other files (no manifest.json)"),
        (("ENCODER", "--corpus", "BEIR"), "--out"),
    ],
)
def test_bad_input(run, folders, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    places = {"BEIR": folders.beir, "ENCODER": folders.encoder}
    done = run("encode", *(places.get(word, word) for word in words))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1

"""What the commands are tried on: tiny models, their bundles, a small BEIR folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from rankgrad.cli.main import main
from rankgrad.export import export_bundle
from rankgrad.models import ColBERT, CrossEncoder

DOCUMENTS = {
    "d1": "open a file and read its lines",
    "d2": "sort the values of a dictionary by key",
    "d3": "join several strings with a separator",
    "d4": "parse a date from text and return a time",
    "d5": "raise an error when the index is out of range",
}
QUERIES = {"q1": "read a file", "q2": "sort dictionary values", "q3": "error index range"}
QRELS = {"q1": "d1", "q2": "d2", "q3": "d5"}


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


class Folders(NamedTuple):
    """Folders to point a command at."""

    encoder: Path
    cross_encoder: Path
    colbert: Path
    cross_encoder_bundle: Path
    colbert_bundle: Path
    beir: Path

    def damaged(self, name: str, target: Path, change: Callable[[Path], object]) -> Path:
        """A copy of one of these folders with something done to it."""
        shutil.copytree(getattr(self, name), target)
        change(target)
        return target


@pytest.fixture(scope="session")
def folders(tiny_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Made once a session; copy before changing anything."""
    root = tmp_path_factory.mktemp("folders")
    made = Folders(
        tiny_encoder_folder, *(root / name for name in ("cross", "colbert", "cross_bundle", "colbert_bundle", "beir"))
    )
    cross_encoder = CrossEncoder.from_pretrained(tiny_encoder_folder, head="mean", max_length=64, query_length=16)
    cross_encoder.save_pretrained(made.cross_encoder)
    colbert = ColBERT.from_pretrained(tiny_encoder_folder, dim=16)
    colbert.save_pretrained(made.colbert)
    export_bundle(cross_encoder, made.cross_encoder_bundle)
    export_bundle(colbert, made.colbert_bundle)
    _write_beir(made.beir)
    return made


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in an empty folder, as the ``rankgrad`` script would."""

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        monkeypatch.chdir(tmp_path)
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(code, str(out), str(err))

    return run


def _write_beir(folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in DOCUMENTS.items()]
    queries = [json.dumps({"_id": name, "text": text}) for name, text in QUERIES.items()]
    qrels = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in QRELS.items())]
    (folder / "corpus.jsonl").write_text("\n".join(corpus) + "\n")
    (folder / "queries.jsonl").write_text("\n".join(queries) + "\n")
    (folder / "qrels" / "test.tsv").write_text("\n".join(qrels) + "\n")

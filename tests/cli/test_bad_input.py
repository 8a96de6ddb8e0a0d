"""Input that cannot be used: one line that names it, exit code 2, nothing written."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RERANK = ("rerank", "--model", "{cross_encoder}", "read a file")
SEARCH = ("search", "--data", "{beir}")
EVALUATE = ("evaluate", "--data", "{beir}")
TREC = ("evaluate", "--run", "run.txt", "--qrels", "qrels.txt")
EXPERIMENT = ("evaluate", "--experiment", "nowhere.yaml")
MODEL = ("--model", "{cross_encoder}")
GPU = ("--accelerator", "gpu")
FUSE = ("fuse", "nowhere.txt", "run.txt", "--out", "new.txt")
MINE = ("mine", "--data", "{beir}", "--split", "test", "--out", "new")

ARGUMENTS = [
    ("no command", (), "the following arguments are required: COMMAND"),
    ("no such command", ("sort",), "invalid choice: 'sort'"),
    ("no such option", (*RERANK, "a text", "--best"), "unknown argument '--best' for rerank"),
    ("no model", ("rerank", "a query", "a text"), "required: --model"),
    ("k is no number", (*RERANK, "a text", "-k", "all"), "expected a whole number of at least 1, got 'all'"),
    ("weight that is no number", (*EVALUATE, "--first-stage-weights", "0", "nan", "0"), "expected a number, got 'nan'"),
    ("k beyond all", (*EVALUATE, "--k", "9" * 30), "expected a whole number of at least 1 and below 2^31"),
    ("seed below zero", (*EVALUATE, "--seed", "-1"), "expected a whole number of at least 0"),
    ("seed of no generator", (*MINE, "--seed", str(2**64)), "expected a whole number of at least 0"),
    ("demo without queries", ("demo", "--queries", "0"), "expected a whole number of at least 1, got '0'"),
    ("k is zero", (*SEARCH, "a query", "-k", "0"), "expected a whole number of at least 1, got '0'"),
]
VALUES = [
    ("empty query", ("rerank", "--model", "{cross_encoder}", " ", "a text"), "the query is empty"),
    ("empty query to search", (*SEARCH, ""), "the query is empty"),
    (
        "query in another encoding",
        ("rerank", *MODEL, "caf\udce9", "a text"),
        "the query is not UTF-8 text (character 3)",
    ),
    ("document in another encoding", (*RERANK, "caf\udce9"), "document 1 is not UTF-8 text (character 3)"),
    ("encoding on no GPU", ("encode", "minilm", "--corpus", "x", "--out", "new", *GPU), "this torch sees no GPU"),
    ("report below a file", (*EVALUATE, "--out", "{cross_encoder}/config.json/new"), "config.json is a file"),
    ("empty document", (*RERANK, "a text", " "), "document 2 of 2 is empty"),
    ("two sources of documents", (*RERANK, "a text", "--file", "texts.txt"), "leave one of them out"),
    ("k above the documents", (*RERANK, "a text", "-k", "2"), "-k 2 is more than the 1 documents"),
    ("k above the collection", (*SEARCH, "read a file", "-k", "6"), "-k 6 is more than the 5 documents"),
    ("only stop words", (*SEARCH, "to be or not to be"), "'to be or not to be' holds only stop words"),
    ("no such document file", (*RERANK, "--file", "nowhere.txt"), "nowhere.txt: No such file"),
    ("no such model", ("rerank", "--model", "nowhere", "a query", "a text"), "nowhere does not exist"),
    ("a plain encoder", ("rerank", "--model", "{encoder}", "a query", "a text"), "holds an encoder but no ranker"),
    ("variant of no bundle", (*RERANK, "a text", "--variant", "int8"), "is no bundle"),
    ("no such collection", ("search", "--data", "nowhere", "a query"), "nowhere is no folder"),
    ("no such split", (*EVALUATE, "--split", "dev"), "no split 'dev'"),
    ("bundle exported again", ("export", "{colbert_bundle}", "--out", "new"), "is a bundle already"),
    ("encoder exported", ("export", "{encoder}", "--out", "new"), "holds an encoder but no ranker"),
    ("export over a bundle", ("export", "{colbert}", "--out", "{cross_encoder_bundle}"), "pass --overwrite"),
    ("export over other files", ("export", "{colbert}", "--out", "{beir}", "--overwrite"), "other files"),
    ("report over other files", (*EVALUATE, "--out", "{beir}"), "other files"),
    ("demo over other files", ("demo", "--out", "{occupied}"), "report holds other files (no report.json)"),
    ("one model twice", (*EVALUATE, *MODEL, *MODEL), "cross is given twice: leave one of them out"),
    ("ranks out of order", (*MINE, "--ranks", "9", "2"), "ranks=(9, 2)"),
    ("denoiser without threshold", (*MINE, "--denoiser", "{cross_encoder}"), "--denoise-above belong together"),
    ("depth before the ranks", (*MINE, "--depth", "5"), "ends before rank 100"),
    ("negatives over other files", (*MINE[:-1], "{beir}"), "other files"),
    ("no such configuration", ("fit", "--config", "nowhere.yaml"), "nowhere.yaml"),
    ("one run to fuse", ("fuse", "run.txt", "--out", "new.txt"), "give at least two"),
    ("weights of fewer runs", (*FUSE, "--weights", "1"), "--weights 1 for 2 runs"),
    ("weights of voters without", (*FUSE, "--method", "median_rank", "--weights", "1", "1"), "--weights says nothing"),
    ("constant of another method", (*FUSE, "--method", "borda", "--k", "9"), "--k says nothing to --method borda"),
    ("learned without judgements", (*FUSE, "--method", "learned"), "give --qrels"),
    ("no such run", FUSE, "nowhere.txt: No such file"),
]
# Options of another mode than the one chosen.
UNUSED = [
    (EVALUATE, ("--metrics", "map"), "--metrics says nothing of --data, but of a --run"),
    (EVALUATE, ("-q", "-c", "--table", "-l", "2"), "--per-query, --complete, --level, --table say nothing of --data"),
    (EVALUATE, ("--cross-encoder-depth", "9"), "--cross-encoder-depth says nothing without --model"),
    (TREC, ("--out", "new"), "--out says nothing of a run in TREC's format"),
    (TREC, ("--k", "20", *MODEL), "--model, --k say nothing of a run in TREC's format"),
    (TREC, ("--table", "--json"), "--json and --table are two forms of one output"),
    (TREC, ("--table", "-n"), "--no-summary says nothing beside --json and --table"),
    (EXPERIMENT, ("--split", "dev", "--k", "3"), "--split, --k say nothing beside --experiment"),
    (EXPERIMENT, ("--depth", "9", "--queries", "1"), "--queries, --depth say nothing beside --experiment"),
    (EXPERIMENT, ("--seed", "1", "-m", "map"), "--seed, --metrics say nothing beside --experiment"),
    (EXPERIMENT, ("--tune-on", "dev"), "--tune-on says nothing beside --experiment"),
    ((*SEARCH, "a"), ("--candidates", "9"), "--candidates says nothing without --index"),
    ((*SEARCH, "a"), ("--depth", "9"), "--depth says nothing without --model"),
    (("export", "{colbert}", "--out", "new"), ("--queries", "9"), "--queries says nothing without --data"),
    (FUSE, ("--top", "3"), "--top says nothing without --explain"),
]
FILES = [
    ("empty line", "texts.txt", b"a text\n\nanother\n", "texts.txt:2 is an empty document"),
    ("nothing in it", "texts.txt", b"", "texts.txt holds no document"),
    ("not UTF-8", "texts.txt", b"caf\xe9\n", "texts.txt is not UTF-8 text (byte 3)"),
    ("malformed JSON lines", "texts.jsonl", b'{"text": "a"}\n{"text": "b"\n', "texts.jsonl:2 is malformed JSON"),
    ("JSON without text", "texts.jsonl", b'{"text": "a"}\n{"body": "b"}\n', "texts.jsonl:2 has no text"),
    ("empty text in JSON", "texts.jsonl", b'{"text": ""}\n', "texts.jsonl:1 is an empty document"),
]


def halve(path: str) -> Callable[[Path], object]:
    """Cut a file of the folder in the middle."""
    return lambda folder: (folder / path).write_bytes(
        (folder / path).read_bytes()[: (folder / path).stat().st_size // 2]
    )


def remove(path: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).unlink()


def append(path: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_text((folder / path).read_text() + text)


def widen(folder: Path) -> None:
    """Let the configuration describe a larger model than the weights are of."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64, "intermediate_size": 128}))


DAMAGED = ("rerank", "--model", "damaged", "a query", "a text")
DATA = ("search", "--data", "damaged", "read a file")
DAMAGE = [
    ("no model file", "cross_encoder", remove("config.json"), DAMAGED, "damaged"),
    ("truncated weights", "cross_encoder", halve("model.safetensors"), DAMAGED, "damaged"),
    ("truncated head", "cross_encoder", halve("head.safetensors"), DAMAGED, "head.safetensors cannot be read"),
    (
        "truncated projection",
        "colbert",
        halve("1_Dense/model.safetensors"),
        DAMAGED,
        "model.safetensors cannot be read",
    ),
    ("no tokenizer", "cross_encoder", remove("tokenizer.json"), DAMAGED, "tokenizer"),
    ("weights of another model", "cross_encoder", widen, DAMAGED, "damaged"),
    ("weights of another ColBERT", "colbert", widen, DAMAGED, "damaged"),
    ("truncated graph", "cross_encoder_bundle", halve("onnx/model.onnx"), DAMAGED, "model.onnx"),
    ("truncated ColBERT graph", "colbert_bundle", halve("onnx/model.onnx"), DAMAGED, "model.onnx"),
    ("no graph", "cross_encoder_bundle", remove("onnx/model.onnx"), DAMAGED, "model.onnx"),
    (
        "no int8 graph",
        "colbert_bundle",
        remove("onnx/model_quantized.onnx"),
        (*DAMAGED, "--variant", "int8"),
        "model_quantized.onnx",
    ),
    ("truncated settings", "colbert_bundle", halve("rankgrad.json"), DAMAGED, "rankgrad.json"),
    ("bundle without tokenizer", "colbert_bundle", remove("tokenizer.json"), DAMAGED, "tokenizer.json"),
    ("no corpus", "beir", remove("corpus.jsonl"), DATA, "corpus.jsonl"),
    ("malformed corpus", "beir", append("corpus.jsonl", '{"_id": "d6"\n'), DATA, "corpus.jsonl:6"),
    ("malformed queries", "beir", append("queries.jsonl", "{\n"), DATA, "queries.jsonl:4"),
    ("unknown document", "beir", append("qrels/test.tsv", "q1\td9\t1\n"), ("evaluate", *DATA[1:3]), "'d9'"),
    ("unknown query", "beir", append("qrels/test.tsv", "q9\td1\t1\n"), ("evaluate", *DATA[1:3]), "'q9'"),
]


def rows(table: list[tuple[Any, ...]]) -> list[Any]:
    """A row's first entry is its name."""
    return [pytest.param(*row[1:], id=row[0]) for row in table]


def refused(outcome: Any, message: str) -> None:
    assert outcome.err.startswith("rankgrad: error: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert outcome.out == ""
    assert outcome.code == 2


def tree(folder: Path) -> dict[str, int]:
    """Every file below a folder, with its time of change."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def filled(words: tuple[str, ...], folders: Any) -> list[str]:
    return [word.format(**folders._asdict(), occupied=folders.beir.parent / "occupied") for word in words]


@pytest.mark.parametrize(("words", "message"), rows(ARGUMENTS + VALUES))
def test_arguments(
    run: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    root = folders.beir.parent
    (root / "occupied" / "report").mkdir(parents=True, exist_ok=True)
    (root / "occupied" / "report" / "thesis.tex").touch()
    before = tree(root)
    refused(run(*filled(words, folders)), message)
    assert tree(tmp_path) == {}
    assert tree(root) == before


@pytest.mark.parametrize(("words", "options", "message"), UNUSED)
def test_options_of_another_mode(
    run: Any, folders: Any, tmp_path: Path, words: tuple[str, ...], options: tuple[str, ...], message: str
) -> None:
    refused(run(*filled((*words, *options), folders)), message)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(("name", "content", "message"), rows(FILES))
@pytest.mark.parametrize("source", ["file", "standard input"])
def test_files_of_documents(
    run: Any,
    folders: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    content: bytes,
    message: str,
    source: str,
) -> None:
    if source == "file":
        (tmp_path / name).write_bytes(content)
        outcome = run(*filled((*RERANK, "--file", name), folders))
    else:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        outcome = run(*filled(RERANK, folders))
        message = message.replace(name, "standard input")
    refused(outcome, message)


@pytest.mark.parametrize(("folder", "damage", "words", "message"), rows(DAMAGE))
def test_damaged_folders(
    run: Any,
    folders: Any,
    tmp_path: Path,
    folder: str,
    damage: Callable[[Path], object],
    words: tuple[str, ...],
    message: str,
) -> None:
    before = tree(folders.damaged(folder, tmp_path / "damaged", damage))
    refused(run(*words), message)
    assert tree(tmp_path / "damaged") == before
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_a_model_of_pictures(run: Any, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "rankgrad_model.json").write_text('{"kind": "image_colbert"}')
    refused(
        run("rerank", "--model", "images", "a query", "a text"), "images holds an ImageColBERT, which ranks pictures"
    )


@pytest.mark.parametrize("error", [MemoryError("8 TiB"), RuntimeError("DefaultCPUAllocator: not enough memory: 8 TiB")])
def test_more_than_fits_into_memory(run: Any, folders: Any, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr("rankgrad.cli.rerank.open_ranker", fails)
    refused(run(*filled((*RERANK, "a text"), folders)), "not enough memory: ask for less at once")
    monkeypatch.setattr("rankgrad.cli.rerank.open_ranker", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(*filled((*RERANK, "a text"), folders))


@pytest.mark.parametrize(
    ("library", "extra", "words"),
    [
        ("onnxruntime", "serve", ("rerank", "--model", "{cross_encoder_bundle}", "a query", "a text")),
        ("transformers", "text", ("rerank", "--model", "{cross_encoder}", "a query", "a text")),
        ("Stemmer", "retrieve", (*SEARCH, "read a file")),
        ("onnx", "onnx", ("export", "{cross_encoder}", "--out", "new")),
        ("rich", "evaluate", EVALUATE),
        ("pytorch_lightning", "train", ("fit", "--config", "some.yaml")),
    ],
)
def test_missing_extras(
    run: Any,
    folders: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    extra: str,
    words: tuple[str, ...],
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)  # type: ignore[arg-type]
    refused(run(*filled(words, folders)), f'pip install "rankgrad[{extra}]"')
    assert tree(tmp_path) == {}

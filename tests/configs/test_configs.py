"""Every configuration is run by the command in its own head comment, with a tiny encoder and one step."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from rankgrad.data import pydoc_collection
from rankgrad.training import BM25Negatives, RunFolder, read_curves, teacher_run, write_teacher_scores
from rankgrad.training.cli import main
from rankgrad.training.compose import compose
from rankgrad.training.random_state import random_state, set_random_state

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
# Those of several processes are run by several: tests/training/test_two_processes.py.
OF_ONE_PROCESS = [path for path in CONFIGS if path.stem not in ("ddp", "fsdp")]
SCIFACT = ROOT / "../shared/data/text_scifact"
PACKAGES = ["json", "logging"]
TINY = {
    "trainer": {"accelerator": "cpu", "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1},
    "data": {"batch_size": 2, "validation_queries": 2},
}


class ByLength:
    def score(self, queries, documents):
        return torch.tensor([float(len(text)) for text in documents])


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(ROOT)
    state, variables = random_state(), dict(os.environ)
    yield
    set_random_state(state)
    os.environ.clear()
    os.environ.update(variables)


@pytest.fixture(scope="module")
def placeholders(tmp_path_factory: pytest.TempPathFactory, write_picture: Callable[..., Path]) -> dict[str, str]:
    """What a reader would put in the place of the words in the commands."""
    folder = tmp_path_factory.mktemp("data")
    documents = {f"d{number}": f"sort a list of {number} numbers" for number in range(40)}
    queries = {f"q{number}": f"sort {number} numbers" for number in range(40)}
    for name, texts in (("corpus", documents), ("queries", queries)):
        rows = [json.dumps({"_id": key, "title": "", "text": text}) for key, text in texts.items()]
        (folder / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    (folder / "qrels").mkdir()
    judged = [f"{query}\t{document}\t1" for query, document in zip(queries, documents, strict=True)]
    (folder / "qrels/train.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    row = {"query": "sort a list", "documents": ["sort numbers", "open"], "labels": [1, 0], "teacher_scores": [2, 1]}
    for name in ("train", "validation"):
        (folder / f"{name}.jsonl").write_text((json.dumps(row) + "\n") * 4)
    collection = pydoc_collection(standard_library=False, packages=PACKAGES)
    task, candidates = collection.task("train"), BM25Negatives()(collection, "train")
    write_teacher_scores(teacher_run(task, candidates, ByLength(), progress=False), folder / "scores.jsonl")
    rows = [f"{row % 3} qid:{row // 5} {row % 7 + 1}:{row / 7} 40:1" for row in range(40)]
    for name in ("train.txt", "vali.txt"):
        (folder / name).write_text("\n".join(rows) + "\n")
    (folder / "rank.train").write_text(
        "\n".join(row.replace(f"qid:{place // 5} ", "") for place, row in enumerate(rows)) + "\n"
    )
    (folder / "rank.train.query").write_text("5\n" * 8)
    pages = [write_picture(folder / "scans" / f"{color}.png", color).name for color in ("red", "blue")]
    row = {"query": "open a file", "images": [f"scans/{page}" for page in pages], "labels": [1, 0]}
    for name in ("train_pages", "validation_pages"):
        (folder / f"{name}.jsonl").write_text((json.dumps(row) + "\n") * 2)
    names = (
        "train_pages.jsonl",
        "validation_pages.jsonl",
        "train.jsonl",
        "validation.jsonl",
        "scores.jsonl",
        "train.txt",
        "vali.txt",
        "rank.train",
        "rank.train.query",
    )
    files = {name: str(folder / name) for name in names}
    return {"FOLDER": str(folder), "[torch, numpy]": json.dumps(PACKAGES), **files}


def head(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("#").strip() for line in lines[: next(i for i, x in enumerate(lines) if x[0] != "#")]]


def command(path: Path) -> list[str]:
    """The words of the command in the head comment, which may go on after a backslash."""
    return shlex.split("\n".join(head(path)).replace("\\\n", " ").splitlines()[0])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "configs").as_posix()


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_a_configuration_is_short_and_its_head_is_a_command(path: Path) -> None:
    assert 6 <= len(path.read_text(encoding="utf-8").splitlines()) <= 30
    words = command(path)
    assert words[:3:2] == ["rankgrad", "--config"]
    assert words[1] == "fit"
    files = [Path(words[i + 1]) for i, word in enumerate(words) if word == "--config"]
    included = [one.parent / name for one in files for name in yaml.safe_load(one.read_text()).get("include", [])]
    assert path.resolve() in [one.resolve() for one in (*files, *included)]
    assert len(head(path)) > 1, "a sentence after the command says what it is for"


@pytest.mark.parametrize("path", OF_ONE_PROCESS, ids=name_of)
def test_the_command_trains(
    path: Path,
    placeholders: dict[str, str],
    tmp_path: Path,
    tiny_encoder_folder: Path,
    tiny_mlm_folder: Path,
    tiny_decoder_folder: Path,
    tiny_vision_folder: Path,
) -> None:
    words = [placeholders.get(word, word) for word in command(path)[2:]]
    config = compose([Path(words[i + 1]) for i, word in enumerate(words) if word == "--config"])
    if "data_module" in config:
        run = _trained(words, {**TINY, "data": {"batch_size": 2}}, tmp_path)
        kinds = ("rankgrad_feature_ranker", "rankgrad_feature_cascade")
        assert json.loads((run.best / "config.json").read_text())["model_type"] in kinds
        return
    source = config["data"]["source"]
    if (
        "scifact" in source["init_args"].get("folder", "")
        and placeholders["FOLDER"] not in words
        and not SCIFACT.exists()
    ):
        pytest.skip("SciFact is not beside the repository (../shared/data/text_scifact)")
    small = dict(TINY)
    if source["class_path"] == "rankgrad.data.Pydoc":
        given = {"standard_library": False, "packages": PACKAGES}
        shown = {"class_path": source["class_path"], "init_args": given}
        small["data"] = {**TINY["data"], "validation_depth": 5, "source": shown}
    kind = config["model"]["model"]["class_path"].split(".")[2]
    if kind == "CausalReranker":
        pytest.importorskip("peft", reason="needs the lora extra")
        # Its prompt alone is some hundred tokens of the tiny vocabulary.
        small["data"] = {**small["data"], "negatives": 1, "validation_depth": 3}
    folders = {
        "SparseEncoder": tiny_mlm_folder,
        "CausalReranker": tiny_decoder_folder,
        "ImageColBERT": tiny_vision_folder,
    }
    given = [f"--model.model.init_args.name={folders.get(kind, tiny_encoder_folder)}"]
    if kind == "ImageColBERT":
        given.append(f"--model.model.init_args.text={tiny_encoder_folder}")
    _trained([*words, *given], small, tmp_path)


def _trained(words: list[str], small: dict[str, Any], folder: Path) -> RunFolder:
    """The run of a command with small values on top, with one finite loss and a validation."""
    (folder / "tiny.yaml").write_text(yaml.safe_dump(small))
    options = [f"--run_folder={folder / 'run'}", "--trainer.val_check_interval=1.0", "--tensorboard=false"]
    run = main([*words, f"--config={folder / 'tiny.yaml'}", *options])
    rows = read_curves(run.curves)
    assert [torch.tensor(float(row["train/loss"])).isfinite().item() for row in rows if "train/loss" in row] == [True]
    assert 0 <= float(rows[-1]["val/nDCG@10"]) <= 1
    assert any((run.best / name).is_file() for name in ("config.json", "text/config.json"))
    return run


@pytest.mark.parametrize("script", sorted((ROOT / "train").glob("*.py")), ids=lambda path: path.name)
def test_a_script_is_a_short_main(script: Path) -> None:
    body = script.read_text(encoding="utf-8").partition("def main")[2].partition("\n\n\n")[0]
    assert 1 < len(body.splitlines()) <= 15

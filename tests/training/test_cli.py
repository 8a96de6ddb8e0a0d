"""``rankgrad fit``: one configuration trains, every mistake is one line, a killed run goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import yaml

from rankgrad._checks import InputError
from rankgrad.cli.main import main as rankgrad
from rankgrad.models import CrossEncoder
from rankgrad.training import read_curves
from rankgrad.training.checkpoints import checkpoints_in
from rankgrad.training.cli import _keep_counts, _repeatable, main

FIT = Path(__file__).resolve().parents[2] / "train" / "fit.py"


@pytest.fixture
def config(tmp_path: Path, tiny_encoder_folder: Path, lists) -> Path:
    """A configuration of a tiny run, in two files."""
    lists.sizes = {"train": 24, "validation": 6}
    for split in lists.sizes:
        rows = [{"query": one.query, "documents": one.documents, "labels": one.labels} for one in lists.lists(split)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = {split: str(tmp_path / f"{split}.jsonl") for split in lists.sizes}
    trainer = {"accelerator": "cpu", "max_epochs": 3}
    (tmp_path / "trainer.yaml").write_text(yaml.safe_dump({"trainer": trainer}))
    model = {
        "class_path": "rankgrad.models.CrossEncoder.from_pretrained",
        "init_args": {"name": str(tiny_encoder_folder)},
    }
    content = {
        "include": ["trainer.yaml"],
        "run_folder": str(tmp_path / "run"),
        "checkpoint_every": 7,
        "tensorboard": False,
        "model": {"model": model, "loss": {"class_path": "rankgrad.losses.InfoNCELoss"}, "learning_rate": 1e-3},
        "data": {"source": {"class_path": "rankgrad.data.ListsFile", "init_args": files}, "batch_size": 2},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def short(config: Path) -> list[str]:
    return [f"--config={config}", "--trainer.max_epochs=1", "--trainer.limit_train_batches=3", "--checkpoint_every=2"]


def test_what_a_run_leaves(short: list[str], tmp_path: Path, capsys) -> None:
    run = main([*short, "--tensorboard=true", "--trainer.precision=bf16-mixed"])
    assert {path.name for path in run.path.iterdir()} == {
        "best",
        "checkpoints",
        "config.yaml",
        "metrics.csv",
        "tensorboard",
    }
    assert [path.name for path in checkpoints_in(run.checkpoints)] == ["step-00000003.ckpt", "step-00000002.ckpt"]
    rows = read_curves(run.curves)
    assert [float(row["train/loss"]) > 0 for row in rows if "train/loss" in row] == [True] * 3
    assert 0 < float(rows[-1]["val/nDCG@10"]) <= 1
    assert 0 < float(rows[-1]["val/MRR@10"]) <= 1
    assert CrossEncoder.from_pretrained(run.best).score(["sort"], ["sort a list"]).isfinite().all()
    output = capsys.readouterr()
    assert re.search(r"step 3/3  val/nDCG@10 [01]", output.err)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_configuration_it_leaves_makes_the_same_run(short: list[str], tmp_path: Path) -> None:
    first = main([*short, "--seed_everything=5"])
    again = main([f"--config={first.path / 'config.yaml'}", f"--run_folder={tmp_path / 'again'}"])
    assert read_curves(first.curves) == read_curves(again.curves)
    saved = yaml.safe_load((first.path / "config.yaml").read_text())
    assert (saved["resume"], saved["overwrite"], saved["seed_everything"]) == (False, False, 5)
    assert saved["trainer"]["deterministic"] is True
    assert [metric["class_path"] for metric in saved["model"]["metrics"]] == [
        "rankgrad.metrics.NDCG",
        "rankgrad.metrics.ReciprocalRank",
    ]


def test_another_seed_is_another_run(short: list[str], tmp_path: Path) -> None:
    first = main([*short, "--seed_everything=5"])
    other = main([*short, "--seed_everything=6", f"--run_folder={tmp_path / 'other'}"])
    assert read_curves(first.curves) != read_curves(other.curves)


def test_an_option_for_one_argument_keeps_the_others(short: list[str], capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*short, "--data.source.init_args.layout=triples", "--model.model.head", "mean", "--print_config"])
    printed = yaml.safe_load(capsys.readouterr().out)
    source = printed["data"]["source"]["init_args"]
    assert source["layout"] == "triples"
    assert source["train"].endswith("train.jsonl")
    assert source["validation"].endswith("validation.jsonl")
    assert printed["model"]["model"]["init_args"]["head"] == "mean"


PARTS = "pytorch_lightning.strategies.ModelParallelStrategy"
MISTAKES = {
    "an unknown option": (["--model.learning_rat=1"], "learning_rat"),
    "a value of the wrong type": (["--model.learning_rate=fast"], "learning_rate"),
    "an unknown class": (["--model.loss=rankgrad.losses.Nothing"], "rankgrad.losses.Nothing"),
    "an argument the class does not take": (["--model.loss.init_args.warmth=1"], "warmth"),
    "a value the class refuses": (["--model.loss.init_args.temperature=-1"], "temperature"),
    "lengths without room": (["--model.model.init_args.max_length=8"], "max_length=8 leaves no room"),
    "both ways on": (["--resume", "--overwrite"], "choose one"),
    "a folder that is no model": (["--model.model.init_args.name={tmp}"], "{tmp}"),
    "data that is not there": (["--data.source.init_args.train={tmp}/no.jsonl"], "no.jsonl"),
    "a device that is not there": (["--trainer.accelerator=abacus"], "abacus"),
    "a metric that is not logged": (["--monitor=val/accuracy"], "val/accuracy"),
    "no epoch": (
        ["--trainer.max_epochs=0"],
        "nothing was trained: trainer.max_epochs=0, trainer.max_steps=-1, trainer.",
    ),
    "an epoch that is too short": (
        ["--trainer.val_check_interval=9"],
        "val_check_interval=9: an epoch has 3 batches; give",
    ),
    "checkpoints in parts": (
        [f"--trainer.strategy.class_path={PARTS}"],
        "set its save_distributed_checkpoint to false",
    ),
    "no configuration file": (["--config={tmp}/no.yaml"], "no.yaml"),
    "nothing after --config": (["--config"], "expected one argument"),
}


@pytest.mark.parametrize(("words", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(short: list[str], tmp_path: Path, words: list[str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    filled = [word.format(tmp=tmp_path / "empty") for word in words]
    with pytest.raises((InputError, FileNotFoundError)) as raised:
        main([*short, *filled])
    assert message.format(tmp=tmp_path / "empty") in str(raised.value)
    if "monitor" not in words[0]:
        assert not (tmp_path / "run").exists()


COLBERT = "--model.model.class_path=rankgrad.models.ColBERT.from_pretrained"
OWN_MESSAGES = {
    "a part of the model": (
        [COLBERT, "--model.model.head={depth: 9}"],
        "depth=9: a projection head has 1, 2 or 3 layers",
    ),
    "a callback": (
        ["--trainer.callbacks=rankgrad.training.SparsityPenalty"],
        "queries and documents are both None: give a penalty to at least one",
    ),
    "a callback of a list": (
        ["--trainer.callbacks=[{class_path: rankgrad.training.KeepShare, init_args: {weight: -1}}]"],
        "weight=-1.0: the penalty needs a weight above 0",
    ),
    "a source": (
        ["--data.source={class_path: rankgrad.data.BEIR, init_args: {folder: ., hold_out: 2}}"],
        "hold_out=2.0: give a share of the training queries, at least 0 and below 1",
    ),
    "what would pass for a file": (
        ["--data.candidates={class_path: rankgrad.training.BM25Negatives, init_args: {depth: 0}}"],
        "depth=0: rank at least one document a query",
    ),
    "another library's object": (
        [
            (
                "--trainer.callbacks=[{class_path: pytorch_lightning.callbacks.EarlyStopping, "
                "init_args: {monitor: a, mode: b}}]"
            )
        ],
        "EarlyStopping: `mode` can be min, max, got b",
    ),
    "the trainer": (
        ["--trainer.devices=two"],
        "trainer: `devices` selected with `CPUAccelerator` should be an int > 0.",
    ),
    "a rate below 0": (
        ["--model.learning_rate=-1"],
        "learning_rate=-1.0: expected a finite number of at least 0",
    ),
}


@pytest.mark.parametrize(("words", "message"), OWN_MESSAGES.values(), ids=OWN_MESSAGES.keys())
def test_what_an_object_refuses_is_its_own_line(
    short: list[str], tmp_path: Path, capsys, words: list[str], message: str
) -> None:
    assert rankgrad(["fit", *short, *words]) == 2
    assert capsys.readouterr().err.strip().splitlines() == [f"rankgrad: error: {message}"]
    assert not (tmp_path / "run").exists()


def test_a_run_is_neither_replaced_nor_gone_on_with_unasked(short: list[str]) -> None:
    run = main(short)
    curves = run.curves.read_bytes()
    with pytest.raises(InputError, match="already holds a run"):
        main(short)
    assert run.curves.read_bytes() == curves
    with pytest.raises(InputError, match="is a checkpoint of another model"):
        main([*short, "--resume", "--model.model.init_args.head=mean"])
    assert "head: mean" not in (run.path / "config.yaml").read_text()
    main([*short, "--overwrite"])
    assert run.curves.read_bytes() == curves


def test_a_run_is_replaced_no_sooner_than_the_next_one_starts(short: list[str], tmp_path: Path) -> None:
    def content() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}

    short.append("--tensorboard=true")
    run = main(short)
    before = content()
    for mistake in (f"--data.source.init_args.train={tmp_path}/no.jsonl", "--trainer.max_epochs=0"):
        with pytest.raises((InputError, FileNotFoundError)):
            main([*short, "--overwrite", mistake])
        assert before.items() <= content().items()
    main([*short, "--overwrite", "--seed_everything=9", "--trainer.limit_train_batches=1"])
    after = content()
    assert [path.name for path in checkpoints_in(run.checkpoints)] == ["step-00000001.ckpt"]
    events = [{path for path in files if "tfevents" in path.name} for files in (before, after)]
    assert len(events[1]) == 1
    assert not events[0] & events[1]


@pytest.mark.parametrize("option", ["--help", "--print_config"])
def test_options_that_explain(short: list[str], capsys, option: str) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*([] if option == "--help" else short), option])
    output = capsys.readouterr().out
    for word in ("run_folder", "learning_rate", "batch_size", "max_epochs"):
        assert word in output
    if option == "--help":
        assert "rankgrad fit --config configs/experiment/pydoc_colbert.yaml --resume" in output
    else:
        assert yaml.safe_load(output)["model"]["learning_rate"] == 1e-3


def test_killed_and_resumed_is_the_same_run(config: Path, tmp_path: Path) -> None:
    """Three epochs of 12 steps, killed by itself in step 17, in the second epoch; the last checkpoint is of step 14."""
    killed = tmp_path / "run"
    callback = [{"class_path": "kill_at_step.KillAtStep", "init_args": {"step": 17}}]
    command = [sys.executable, str(FIT), f"--config={config}", f"--trainer.callbacks={json.dumps(callback)}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = [row["step"] for row in read_curves(killed / "metrics.csv") if "train/loss" in row]
    assert left == [str(step) for step in range(16)]
    assert checkpoints_in(killed / "checkpoints")[0].name == "step-00000014.ckpt"

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        main([f"--config={config}", "--resume"])
        whole = main([f"--config={config}", f"--run_folder={tmp_path / 'whole'}"])
    finally:
        torch.set_num_threads(threads)
    rows = read_curves(whole.curves)
    assert len([row for row in rows if "train/loss" in row]) == 36
    assert read_curves(killed / "metrics.csv") == rows
    assert len(list((killed / "checkpoints").iterdir())) == 2
    ours, theirs = (torch.load(checkpoints_in(f / "checkpoints")[0])["state_dict"] for f in (killed, whole.path))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(
    ("accelerator", "cuda", "expected"),
    [("cpu", True, True), ("auto", False, True), ("auto", True, "warn"), ("gpu", True, "warn"), ("cuda", True, "warn")],
)
def test_what_has_no_repeatable_kernel_does_not_end_a_run_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, cuda: bool, expected: object
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert _repeatable(accelerator) == expected


@pytest.mark.parametrize(("given", "kept"), [("1", 1), ("1.0", 1.0), ("3", 3)])
@pytest.mark.parametrize("where", ["file", "option", "two words"])
def test_a_number_of_batches_stays_a_number(given: str, kept: float, where: str) -> None:
    config = Namespace(trainer={"limit_train_batches": float(given)})
    trainer = {"limit_train_batches": yaml.safe_load(given)} if where == "file" else {}
    flag = "--trainer.limit_train_batches"
    options = {"file": [], "option": [f"{flag}={given}"], "two words": [flag, given]}[where]
    _keep_counts(config, trainer, options)
    assert config.trainer["limit_train_batches"] == kept
    assert type(config.trainer["limit_train_batches"]) is type(kept)

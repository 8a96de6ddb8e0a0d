from __future__ import annotations

import json
from pathlib import Path

import pytest

from rankgrad._checks import InputError
from rankgrad.training.compose import compose, take_object_options


def write(folder: Path, **files: str) -> list[Path]:
    paths = [folder / f"{name}.yaml" for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    return paths


def test_a_file_wins_over_what_it_includes_and_a_later_include_over_an_earlier(tmp_path: Path) -> None:
    write(tmp_path, first="a: 1\nb: 1\nc: 1\n", second="b: 2\nc: 2\n")
    (tmp_path / "sub").mkdir()
    (run,) = write(tmp_path / "sub", run="include: [../first.yaml, ../second.yaml]\nc: 3\n")
    assert compose([run]) == {"a": 1, "b": 2, "c": 3}


def test_later_files_win(tmp_path: Path) -> None:
    paths = write(tmp_path, run="trainer: {max_epochs: 3, devices: 1}", debug="trainer.max_epochs: 1", empty="")
    assert compose(paths) == {"trainer": {"max_epochs": 1, "devices": 1}}
    assert compose(paths[::-1]) == {"trainer": {"max_epochs": 3, "devices": 1}}


@pytest.mark.parametrize(
    ("over", "merged"),
    [
        ("loss.init_args.k: 5", {"class_path": "a.B", "init_args": {"t": 1, "k": 5}}),
        ("loss: {class_path: a.B, init_args: {k: 5}}", {"class_path": "a.B", "init_args": {"t": 1, "k": 5}}),
        ("loss: {class_path: a.C, init_args: {k: 5}}", {"class_path": "a.C", "init_args": {"k": 5}}),
        ("loss: {class_path: a.C}", {"class_path": "a.C"}),
        ("loss: null", None),
        ("loss: [1]", [1]),
    ],
)
def test_objects_merge_where_the_class_is_the_same(tmp_path: Path, over: str, merged: object) -> None:
    assert compose(write(tmp_path, base="loss: {class_path: a.B, init_args: {t: 1}}", over=over)) == {"loss": merged}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: [1\n", r"run\.yaml:3: no valid YAML"),
        ("- 1\n", r"run\.yaml: expected keys and values, got list"),
        ("word", r"run\.yaml: expected keys and values, got str"),
        ("include: other.yaml", r"run\.yaml: include: expected a list of files, got 'other\.yaml'"),
        ("include: [run.yaml]", r"run\.yaml includes itself"),
        ("a: \x00", r"run\.yaml: no valid YAML"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compose(write(tmp_path, run=text))


def test_missing_files_are_named_with_who_wants_them(tmp_path: Path) -> None:
    (run,) = write(tmp_path, run="include: [nowhere.yaml]")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.yaml, which .*run\.yaml includes"):
        compose([run])
    with pytest.raises(FileNotFoundError, match=r"absent\.yaml$"):
        compose([tmp_path / "absent.yaml"])


CONFIG = {
    "model": {
        "loss": {
            "class_path": "a.Loss",
            "init_args": {"t": 1, "metric": {"class_path": "a.Metric", "init_args": {"k": 10, "gain": "x"}}},
        },
        "rate": 0.1,
    },
    "source": {"class_path": "a.Source"},
}


@pytest.mark.parametrize(
    ("options", "expected", "rest"),
    [
        (["--model.loss.init_args.t=2"], {"model.loss.init_args.t": 2}, []),
        (["--model.loss.t", "2", "--model.rate", "1"], {"model.loss.init_args.t": 2}, ["--model.rate", "1"]),
        (["--model.loss.metric.k=5"], {"model.loss.init_args.metric.init_args.k": 5}, []),
        (["--model.loss.init_args.metric.init_args.k", "null"], {"model.loss.init_args.metric.init_args.k": None}, []),
        (
            ["--source.names=[a, b]", "--source.path", "x=y"],
            {"source.init_args": {"names": ["a", "b"], "path": "x=y"}},
            [],
        ),
        (["--source.name={"], {"source.init_args.name": "{"}, []),
        (["--model.loss=a.Other", "--model.loss.t=3"], {}, ["--model.loss=a.Other", "--model.loss.t=3"]),
        (["--source.class_path", "b.C", "--source.n", "1"], {}, ["--source.class_path", "b.C", "--source.n", "1"]),
        (["--source.help", "--resume", "word"], {}, ["--source.help", "--resume", "word"]),
    ],
)
def test_options_for_objects(tmp_path: Path, options: list[str], expected: dict[str, object], rest: list[str]) -> None:
    paths = write(tmp_path, base=json.dumps(CONFIG), over=json.dumps(expected))
    assert take_object_options(CONFIG, options) == (compose(paths), rest)


def test_an_option_without_its_value() -> None:
    with pytest.raises(InputError, match=r"--source\.path: expected one argument"):
        take_object_options(CONFIG, ["--source.path"])

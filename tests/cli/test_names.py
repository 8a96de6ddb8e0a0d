"""Two models of one name are two systems."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError
from rankgrad.cli._names import model_names


def test_two_folders_of_one_name_are_two_systems(run: Any, folders: Any, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(folders.cross_encoder, tmp_path / name / "model")
    shutil.copytree(folders.cross_encoder_bundle, tmp_path / "bundles" / "model")
    models = [word for name in ("one", "two", "bundles") for word in ("--model", f"{name}/model")]
    outcome = run("evaluate", "--data", folders.beir, *models, "--json")
    assert outcome.code == 0, outcome.err
    assert [system["name"] for system in json.loads(outcome.out)["systems"]] == [
        "BM25",
        "BM25 > one/model",
        "BM25 > two/model",
        "BM25 > model fp32",
        "BM25 > model int8",
    ]


def test_names_grow_until_they_differ(tmp_path: Path) -> None:
    folders = [tmp_path / place for place in ("a/x/best", "b/x", "a/c/y", "b/c/y", "z")]
    for folder in folders:
        folder.mkdir(parents=True)
    assert model_names(folders) == ["a/x", "b/x", "a/c/y", "b/c/y", "z"]
    with pytest.raises(InputError, match="y is given twice"):
        model_names([folders[2], folders[2]])

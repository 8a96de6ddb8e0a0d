"""A bundle that cannot be used is refused in one clear sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankgrad import deploy
from rankgrad._checks import InputError


@pytest.fixture
def bundle(tiny_bundle: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle("colbert"), tmp_path / "bundle"))


def change(bundle: Path, **values: Any) -> None:
    path = bundle / "rankgrad.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def record(bundle: Path, variant: str) -> None:
    """Enter the present state of a graph's file, as if it had been exported so."""
    content = json.loads((bundle / "rankgrad.json").read_text())
    graph = content["graphs"][variant]
    graph |= deploy.bundle.fingerprint(bundle / graph["file"])
    change(bundle, graphs=content["graphs"])


def cut_and_record(bundle: Path) -> None:
    cut(bundle / "onnx/model.onnx")
    record(bundle, "fp32")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, r"bundle does not exist: pass a bundle"),
    "no marker": (lambda bundle: (bundle / "rankgrad.json").unlink(), r"is no bundle \(it has no rankgrad.json\)"),
    "no JSON": (lambda bundle: (bundle / "rankgrad.json").write_text("{\n]"), r"rankgrad.json:2: no valid JSON"),
    "no object": (lambda bundle: (bundle / "rankgrad.json").write_text("[1]"), r"format_version None"),
    "a later format": (lambda bundle: change(bundle, format_version=99), r"format_version 99, this rankgrad reads 1"),
    "an unknown kind": (lambda bundle: change(bundle, kind="oracle"), r"kind 'oracle'"),
    "no settings": (lambda bundle: change(bundle, tokenizer={}), r"tokenizer's settings cannot be used \('rules'\)"),
    "no graphs": (lambda bundle: change(bundle, graphs={}), r"has no variant 'fp32'"),
    "half an entry": (lambda bundle: change(bundle, graphs={"fp32": {}}), r"an entry of graphs is not understood"),
    "no tokenizer": (lambda bundle: (bundle / "tokenizer.json").unlink(), r"tokenizer.json is missing"),
    "half a tokenizer": (lambda bundle: cut(bundle / "tokenizer.json"), r"tokenizer.json is damaged"),
    "no graph": (lambda bundle: (bundle / "onnx/model.onnx").unlink(), r"model.onnx is missing"),
    "half a graph": (lambda bundle: cut(bundle / "onnx/model.onnx"), r"model.onnx has \d+ bytes instead of \d+"),
    "a changed weight": (lambda bundle: flip(bundle / "onnx/model.onnx"), r"model.onnx is damaged \(its SHA-256"),
    "no ONNX": (cut_and_record, r"model.onnx is no ONNX graph that loads"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(bundle: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(bundle)
    with pytest.raises(InputError, match=message):
        deploy.load(bundle)


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is no folder"):
        deploy.load(tmp_path / "file")


@pytest.mark.parametrize("variant", ["fp16", "int4"])
def test_a_variant_that_is_not_there(bundle: Path, variant: Any) -> None:
    with pytest.raises(InputError, match=f"no variant '{variant}': choose one of fp32, int8"):
        deploy.load(bundle, variant=variant)


def test_threads_below_one(bundle: Path) -> None:
    with pytest.raises(InputError, match="threads=0"):
        deploy.load(bundle, threads=0)

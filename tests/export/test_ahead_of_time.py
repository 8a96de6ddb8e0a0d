"""Ahead-of-time packages: the same scores, and a plain word where one cannot be opened."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.deploy.bundle import fingerprint
from rankgrad.export import ParityError, ahead_of_time, export_package, load_package, package_files
from rankgrad.export.files import longest, tokenizer_settings

QUERIES = ["sort a list"] * 3
DOCUMENTS = ["return the number of items in a list", "open a file", "sort the values of a dictionary by key again"]
Rankers = Callable[[str], Any]


def described(folder: Path, model: Any, **changes: Any) -> Path:
    """A package of a file that is no machine code, described soundly but for the changes."""
    folder.mkdir(exist_ok=True)
    (folder / "model.pt2").write_bytes(b"no machine code")
    model.tokenizer.tokenizer.save(str(folder / "tokenizer.json"))
    found = package_files.Package(
        kind="cross_encoder",
        machine=package_files.machine("cpu"),
        tokenizer=tokenizer_settings(model),
        dim=1,
        longest=longest(model),
        pad_id=0,
        files={name: fingerprint(folder / name) for name in ("model.pt2", "tokenizer.json")},
    )
    content = found.content() | changes
    (folder / "rankgrad_package.json").write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return folder


def on(name: str, value: str) -> dict[str, Any]:
    return {"machine": package_files.machine("cpu") | {name: value}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 9}, "format_version 9"),
        ({"tokenizer": None}, "lacks 'tokenizer'"),
        (on("torch", "1.0"), "for torch 1.0, and this is"),
        (on("capability", "sm_90"), "for capability sm_90"),
        (on("platform", "Plan9 mips"), "for platform Plan9 mips"),
        ({"tokenizer": {"max_length": 2}}, "settings cannot be used"),
        ({"files": {}}, "it is changed"),
    ],
)
def test_packages_that_cannot_be_opened(
    tiny_ranker: Rankers, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_package(described(tmp_path / "package", tiny_ranker("cls"), **changes))


def test_no_package_and_damaged_files(tiny_ranker: Rankers, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no package"):
        load_package(tmp_path)
    folder = described(tmp_path / "package", tiny_ranker("cls"))
    (folder / "model.pt2").write_bytes(b"No machine code")
    with pytest.raises(InputError, match="SHA-256"):
        load_package(folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_package_for_a_gpu_without_one(tiny_ranker: Rankers, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="made for a GPU"):
        load_package(described(tmp_path / "package", tiny_ranker("cls"), **on("device", "cuda")))


def test_a_disagreement_writes_nothing(tiny_ranker: Rankers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_ranker("cls")
    monkeypatch.setattr(
        torch._inductor,
        "aoti_compile_and_package",
        lambda program, package_path, inductor_configs: Path(package_path).touch(),
    )
    monkeypatch.setattr(ahead_of_time, "opened", lambda _: lambda *inputs: model.forward_tokens(*inputs) + 1)
    with pytest.raises(ParityError, match="disagrees with the model at Shape"):
        export_package(model, tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_folders_and_models_that_are_refused(tiny_ranker: Rankers, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        export_package(tiny_ranker("cls"), tmp_path)
    with pytest.raises(TypeError, match="got Linear"):
        export_package(torch.nn.Linear(2, 2), tmp_path / "package")  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))],
)
@pytest.mark.parametrize("kind", ["interaction", "colbert"])
def test_a_package_scores_as_the_model(tiny_ranker: Rankers, tmp_path: Path, kind: str, device: str) -> None:
    model = tiny_ranker(kind).to(device)
    content = export_package(model, tmp_path / "package")
    assert content["parity"]["difference"] <= 1e-5
    assert content["machine"]["device"] == device
    package = load_package(tmp_path / "package")
    with torch.inference_mode():
        if kind == "colbert":
            expected = model.score(QUERIES[:1], model.encode_documents(DOCUMENTS)).cpu()
            found = package.score(QUERIES[:1], package.encode_documents(DOCUMENTS))  # type: ignore[union-attr]
        else:
            expected = model.score(QUERIES, DOCUMENTS).cpu()
            found = package.score(QUERIES, DOCUMENTS)  # type: ignore[union-attr]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    model.cpu()

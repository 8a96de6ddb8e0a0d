"""Files of settings that hold something else than they should are named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError
from rankgrad.models import ColBERT, DenseEncoder, SparseEncoder


@pytest.mark.parametrize("kind", [ColBERT, DenseEncoder])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("modules.json", [1], "modules.json is no list of modules"),
        ("modules.json", {"type": "Transformer"}, "modules.json is no list of modules"),
        ("config_sentence_transformers.json", [], "config_sentence_transformers.json holds no JSON object"),
        ("rankgrad_model.json", 3, "rankgrad_model.json holds no JSON object"),
    ],
)
def test_it_is_named(
    kind: Any, file: str, content: Any, message: str, tiny_encoder_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder_folder, folder)
    if kind is ColBERT:
        settings = {"model_type": "MultiVectorEncoder"}
        (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    else:
        (folder / "modules.json").write_text(json.dumps([{"type": "Transformer", "path": ""}]))
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        kind.from_pretrained(folder)


def test_of_a_sparse_encoder(tiny_mlm_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_mlm_folder, folder)
    (folder / "modules.json").write_text('["Transformer"]')
    with pytest.raises(InputError, match=r"modules.json is no list of modules"):
        SparseEncoder.from_pretrained(folder)


def test_architectures_that_are_no_list_are_none(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_encoder_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": None}))
    assert ColBERT.from_pretrained(folder, dim=8).dim == 8

"""What an import leaves in ``sys.modules``: each part loads only what it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

TORCH = {"torch"}
TEXT = {"transformers", "tokenizers", "safetensors"}
REST = {"pytorch_lightning", "torchmetrics", "jsonargparse", "tensorboard", "onnx", "onnxscript", "onnxruntime"} | {
    "Stemmer",
    "scipy",
    "sklearn",
    "matplotlib",
    "PIL",
    "rich",
    "faiss",
    "numba",
    "qdrant_client",
    "triton",
    "sentence_transformers",
    "datasets",
    "ir_datasets",
    "pandas",
    "pyarrow",
    "peft",
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "prometheus_client",
}


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("rankgrad", TORCH | TEXT | REST | {"numpy"}),
        ("rankgrad.types", TORCH | TEXT | REST | {"numpy"}),
        ("rankgrad.tokens", TORCH | TEXT | REST),
        ("rankgrad.cli.main", TORCH | TEXT | REST | {"numpy"}),
        ("rankgrad.deploy", TORCH | (TEXT - {"tokenizers"}) | (REST - {"onnxruntime"})),
        ("rankgrad.ops", TEXT | REST),
        ("rankgrad.metrics", TEXT | REST),
        ("rankgrad.losses", TEXT | REST),
        ("rankgrad.data", {"transformers"} | REST),
        ("rankgrad.retrieve", TEXT | REST),
        ("rankgrad.rerank", TEXT | REST),
        ("rankgrad.pipeline", TEXT | REST),
    ],
)
def test_import_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    report = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr == ""
    assert sorted(unwanted & set(done.stdout.split())) == []

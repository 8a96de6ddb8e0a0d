"""A bundle runs where torch is not installed."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rankgrad.models import CrossEncoder

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("numpy", "onnxruntime", "tokenizers")
NO_INDEX = ("No matching distribution", "Could not find a version", "Connection", "Temporary failure", "Network is")
QUERY = "sort a dictionary"
DOCUMENTS = ("open a file and read its lines", "sort the values of a dictionary by key", "a date")

SCRIPT = """
import importlib.util, json, sys, warnings
warnings.simplefilter("error")
absent = {name: importlib.util.find_spec(name) is None for name in ("torch", "transformers", "onnx")}
from rankgrad import deploy
query, documents, *bundles = json.loads(sys.argv[1])
scores = {}
for bundle in bundles:
    for variant in ("fp32", "int8"):
        results = deploy.load(bundle, variant=variant, threads=1).rerank(query, documents)
        scores[f"{bundle} {variant}"] = [score for index, score, text in sorted(results)]
print(json.dumps({"absent": absent, "scores": scores}))
"""


def pins() -> list[str]:
    """The constrained versions of what is installed."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line.partition("==")[0] in PACKAGES]


@pytest.fixture(scope="session")
def python_without_torch() -> Path:
    """An interpreter with numpy, onnxruntime and tokenizers alone; made once for a set of versions."""
    key = hashlib.sha256("\n".join([sys.version, sys.prefix, *pins()]).encode()).hexdigest()[:12]
    folder = ROOT / ".cache" / "deploy-venv" / key
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if (folder / "ready").is_file():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True, capture_output=True)
    install = [python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", *PACKAGES]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode and any(sign in done.stderr for sign in NO_INDEX):
        pytest.skip(f"pip reaches no index to install {', '.join(PACKAGES)} from")
    assert done.returncode == 0, done.stderr
    (folder / "ready").touch()
    return python


def torch_scores(model: Any) -> list[float]:
    with torch.inference_mode():
        if isinstance(model, CrossEncoder):
            return model.score([QUERY] * len(DOCUMENTS), DOCUMENTS).tolist()
        return model.score([QUERY], model.encode_documents(DOCUMENTS))[0].tolist()


def test_scores_are_torchs_where_torch_is_not(
    python_without_torch: Path, tiny_ranker: Callable[[str], Any], tiny_bundle: Callable[[str], Path]
) -> None:
    bundles = {kind: str(tiny_bundle(kind)) for kind in ("interaction", "colbert")}
    request = json.dumps([QUERY, DOCUMENTS, *bundles.values()])
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [python_without_torch, "-c", SCRIPT, request], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["absent"] == {"torch": True, "transformers": True, "onnx": True}
    for kind, bundle in bundles.items():
        assert found["scores"][f"{bundle} fp32"] == pytest.approx(torch_scores(tiny_ranker(kind)), abs=1e-4)
        assert len(found["scores"][f"{bundle} int8"]) == len(DOCUMENTS)


def test_importing_deploy_loads_no_torch() -> None:
    script = "import sys, rankgrad.deploy; print(*sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")

"""Imports point down the layers, and each library is imported only where it belongs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rankgrad"
MODULES = sorted(PACKAGE.rglob("*.py"))
OUTSIDE = {"configs", "train", "examples", "benchmarks", "tests"}
LAYERS = (
    {path.stem for path in PACKAGE.glob("*.py")} | {"__version__"},
    {"ops"},
    {"metrics", "data"},
    {"losses", "modules"},
    {"models"},
    {"retrieve", "fuse", "rerank"},
    {"pipeline"},
    {"training", "export", "evaluation"},
    {"cli"},
)
WITHOUT_TORCH = {"types", "_checks", "_files", "tokens", "prompts", "__version__"}
HEIGHT = {part: height for height, parts in enumerate(LAYERS) for part in parts}
TEXT = {"modules", "models", "data/collate.py"}
LIBRARIES = {
    "triton": {"ops/*/*kernels.py", "ops/*/library.py"},
    "transformers": {*TEXT, "training"},
    "peft": {"models"},
    "pytorch_lightning": {"training", "data/datamodule.py", "data/feature_datamodule.py"},
    "jsonargparse": {"training"},
    "torchmetrics": {"training"},
    "onnx": {"export"},
    "onnxscript": {"export"},
    "onnxruntime": {"export", "deploy"},
    "Stemmer": {"retrieve"},
    "faiss": {"retrieve"},
    "numba": {"ops/isotonic/compiled.py", "retrieve/_max_score.py"},
    "qdrant_client": {"retrieve"},
    "scipy": {"metrics", "evaluation", "ops/isotonic/cpu.py", "modules/token_pooling.py"},
    "sklearn": {"data/letor.py"},
    "fastapi": {"deploy"},
    "starlette": {"deploy"},
    "pydantic": {"deploy"},
    "uvicorn": {"deploy"},
    "prometheus_client": {"deploy"},
    "datasets": {"data/hugging_face.py"},
    "ir_datasets": {"data/ir_data.py"},
    "PIL": {"data/image_files.py", "data/image_reader.py", "models"},
    "matplotlib": {"evaluation"},
}
EVERYTHING = LIBRARIES.keys() - {"triton"}


def imported(path: Path) -> Iterator[str]:
    """Every module a file imports, anywhere in it, ``require("module", ...)`` included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("require", "import_module")
        ):
            yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def part_of(path: Path) -> str:
    """The folder (or base file) of the package that a file belongs to."""
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem


def allowed(part: str, target: str) -> bool:
    """May a file of ``part`` import ``rankgrad.<target>``?"""
    if target == part:
        return True
    if "deploy" in (part, target):
        return target in WITHOUT_TORCH if part == "deploy" else HEIGHT[part] >= HEIGHT["training"]
    return target in LAYERS[0] or HEIGHT[target] < HEIGHT[part]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent != PACKAGE], ids=name_of)
def test_imports_point_down(path: Path) -> None:
    part = part_of(path)
    targets = {name.split(".")[1] for name in imported(path) if name.startswith("rankgrad.")}
    wrong = sorted(target for target in targets if not allowed(part, target))
    assert wrong == [], f"{part} may not import rankgrad.{', rankgrad.'.join(wrong)}: it is not below {part}"


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=name_of)
def test_the_base_imports_only_the_base(path: Path) -> None:
    targets = {name.split(".")[1] for name in imported(path) if name.startswith("rankgrad.")}
    assert targets <= LAYERS[0]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_each_library_has_its_place(path: Path) -> None:
    inside = path.relative_to(PACKAGE)
    libraries = {name.split(".")[0] for name in imported(path)}
    assert not libraries & OUTSIDE, "the package never imports what stands outside it"
    for library in libraries & LIBRARIES.keys() - (EVERYTHING if inside.parts[0] == "cli" else set()):
        places = LIBRARIES[library]
        assert any(inside.match(place) or place in (inside.parts[0], inside.as_posix()) for place in places), (
            f"{inside} imports {library}, which belongs in {', '.join(sorted(places))}"
        )


def test_every_folder_has_a_layer() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - HEIGHT.keys() <= {"deploy"}


@pytest.mark.parametrize(
    ("part", "target", "verdict"),
    [
        ("losses", "metrics", True),
        ("metrics", "losses", False),
        ("rerank", "retrieve", False),
        ("export", "training", False),
        ("deploy", "tokens", True),
        ("deploy", "ops", False),
        ("deploy", "_index_files", False),
        ("models", "deploy", False),
        ("cli", "deploy", True),
    ],
)
def test_the_rule_itself(part: str, target: str, verdict: bool) -> None:
    assert allowed(part, target) is verdict

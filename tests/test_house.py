"""Rules of the house that a machine can hold: file size, exports, doctests, what a file may say, versions."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = sorted((ROOT / "rankgrad").rglob("__init__.py"))[1:]
LONGEST_FILE = 300
SAID_NOWHERE = {
    "a path of one machine": re.compile(r"(?<![\w.~}])/(?:home|root|Users|work|mnt)/\w"),
    "an issue's number": re.compile(r"\bissue #?\d", re.IGNORECASE),
    "a number still to be filled in": re.compile(r"\bFILL\b"),
    "a TODO without a link or a version": re.compile(r"\b(?:TODO|FIXME|XXX)\b(?!.*(?:https?://|\d\.\d))"),
}


def our_files() -> list[Path]:
    """What git tracks or would track; every file, where this is no git checkout."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.splitlines() if done.returncode == 0 else [str(path) for path in ROOT.rglob("*.py")]
    return [path for path in (ROOT / name for name in names) if path.is_file() and ".venv" not in path.parts]


FILES = our_files()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> ModuleType:
    inside = path.relative_to(ROOT).with_suffix("")
    return importlib.import_module(".".join(inside.parts).removesuffix(".__init__"))


def test_no_file_is_longer_than_a_person_reads_at_once() -> None:
    long = {name_of(path): lines for path in FILES if path.suffix == ".py" and (lines := _lines(path)) > LONGEST_FILE}
    assert long == {}


def test_files_say_nothing_that_only_this_machine_understands() -> None:
    texts = [
        path for path in FILES if path.suffix in (".py", ".md", ".toml", ".yaml", ".txt", "") and path != Path(__file__)
    ]
    found = [
        f"{name_of(path)}:{number}: {what}: {line.strip()[:80]}"
        for path in texts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for what, pattern in SAID_NOWHERE.items()
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_a_package_only_exports_and_says_what(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert ast.get_docstring(ast.Module(body, [])), "say in one line what the package holds"
    for node in body[1:]:
        assert _re_exports(node), f"line {node.lineno}: an __init__ only re-exports"
    names = module_of(path).__all__
    assert list(names) == sorted(set(names), key=_export_order)
    assert [name for name in names if not hasattr(module_of(path), name)] == []


def public_functions() -> Iterator[tuple[str, object]]:
    """The functions that ops, metrics and losses export."""
    for package in ("ops", "metrics", "losses"):
        module = importlib.import_module(f"rankgrad.{package}")
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                yield f"{package}.{name}", value


def test_every_public_function_shows_an_example() -> None:
    functions = dict(public_functions())
    assert functions
    assert [name for name, value in functions.items() if ">>>" not in (inspect.getdoc(value) or "")] == []


def extras() -> dict[str, list[Requirement]]:
    """The project's requirements by extra, "" being the ones without."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in listed.items()}


def pins() -> dict[str, Version]:
    """The versions of constraints.txt."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines())
    return {name.lower(): Version(version) for name, _, version in (line.partition("==") for line in lines if line)}


@pytest.mark.parametrize("extra", extras())
def test_pins_lie_in_the_ranges(extra: str) -> None:
    wanted = [requirement for requirement in extras()[extra] if requirement.name != "rankgrad"]
    pinned = pins()
    assert [requirement.name for requirement in wanted if requirement.name.lower() not in pinned] == []
    assert [
        str(requirement) for requirement in wanted if pinned[requirement.name.lower()] not in requirement.specifier
    ] == []


def test_extras_name_extras_that_exist() -> None:
    known = extras()
    named = {
        extra
        for requirements in known.values()
        for one in requirements
        if one.name == "rankgrad"
        for extra in one.extras
    }
    assert named <= known.keys()


def test_the_citation_carries_the_version() -> None:
    version = importlib.import_module("rankgrad").__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def _re_exports(node: ast.stmt) -> bool:
    """An import, ``__all__``, or the two parts of an import put off until a heavy library is wanted."""
    if isinstance(node, ast.Assign):
        return [ast.unparse(target) for target in node.targets] == ["__all__"]
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING" and all(map(_re_exports, node.body))
    return isinstance(node, ast.ImportFrom) or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__")


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def _export_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions, each by name: the order ruff keeps."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)

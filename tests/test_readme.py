"""The README's Python runs, and the commands it shows exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rankgrad.cli.main import build_parser

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(?P<skip><!-- not run: [^\n]+ -->\n)?```(?P<language>python|bash)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = [(found["language"], found["code"], found["skip"]) for found in BLOCK.finditer(README)]
PYTHON = [code for language, code, skip in BLOCKS if language == "python" and not skip]
COMMANDS = [
    line
    for language, code, _ in BLOCKS
    if language == "bash"
    for line in code.replace("\\\n", " ").splitlines()
    if line.startswith("rankgrad ")
]


@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.strip().splitlines()[0])
def test_python_of_the_readme_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_of_the_readme_parse(line: str) -> None:
    words = shlex.split(line.partition("|")[0].partition(" #")[0])[1:]
    arguments, rest = build_parser().parse_known_args(words)
    assert arguments.command == words[0]
    assert rest == [] or words[0] == "fit"

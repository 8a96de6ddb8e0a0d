"""The image of the server: what its files name is there, its libraries are those of the extra, its commands run.

No image is built here: that takes a Docker daemon and a registry.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "docker" / "Dockerfile"


@pytest.fixture(scope="module")
def steps() -> dict[str, list[str]]:
    """What follows each instruction, continued lines joined."""
    lines = [line for line in IMAGE.read_text().splitlines() if not line.startswith("#")]
    found: dict[str, list[str]] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        found.setdefault(name, []).append(rest.strip())
    return found


def run(program: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a Python program of the image, with its code where the image has it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *program], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


def test_the_libraries_are_those_of_the_extra(steps: dict[str, list[str]]) -> None:
    (install,) = [line for line in steps["RUN"] if line.startswith("pip install")]
    words = shlex.split(install.removeprefix("pip install"))
    constraints = words.pop(words.index("-c") + 1)
    named = {word for word in words if not word.startswith("-")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert named == {"numpy", *(re.split(r"[<>=;\[ ]", line)[0] for line in extras["serve"])}
    pinned = {line.split("==")[0] for line in (ROOT / constraints).read_text().splitlines()}
    assert named <= pinned


def test_what_is_copied_is_there_and_sent_to_the_builder(steps: dict[str, list[str]]) -> None:
    copied = [line.split()[0] for line in steps["COPY"]]
    assert copied == ["constraints.txt", "rankgrad"]
    assert all((ROOT / name).exists() for name in copied)
    sent = IMAGE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert sent[0] == "*"
    assert {f"!{name}" for name in copied} <= set(sent)


def test_its_commands_run(steps: dict[str, list[str]], tmp_path: Path) -> None:
    (check,) = [line for line in steps["RUN"] if line.startswith("python -c")]
    program = shlex.split(check)[1:3]
    assert "torch" in program[1]
    done = run(program, tmp_path)
    assert done.returncode == 0, done.stderr
    entry = json.loads(steps["ENTRYPOINT"][0])
    (command,) = map(json.loads, steps["CMD"])
    helped = run([*entry[1:], "--help"], tmp_path)
    assert helped.returncode == 0, helped.stderr
    assert all(word in helped.stdout for word in command if word.startswith("--"))
    refused = run([*entry[1:], str(tmp_path / "bundle"), *command[1:]], tmp_path)
    assert refused.returncode == 2
    assert "bundle" in refused.stderr


def test_the_compose_file_serves_that_image(steps: dict[str, list[str]], tmp_path: Path) -> None:
    compose = ROOT / "docker" / "compose.yaml"
    service = yaml.safe_load(compose.read_text())["services"]["rerank"]
    context = (compose.parent / service["build"]["context"]).resolve()
    assert (context, context / service["build"]["dockerfile"]) == (ROOT, IMAGE)
    port = steps["EXPOSE"][0]
    assert [line.rpartition(":")[2] for line in service["ports"]] == [port]
    assert f"127.0.0.1:{port}/health" in steps["HEALTHCHECK"][0]
    assert [line.split(":")[-2] for line in service["volumes"]] == [service["command"][0]]
    entry = json.loads(steps["ENTRYPOINT"][0])
    helped = run([*entry[1:], "--help"], tmp_path).stdout
    assert all(word in helped for word in service["command"] if word.startswith("--"))

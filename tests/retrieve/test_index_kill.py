"""A writer of indexes that is killed leaves the old index or the new one, never neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

WRITER = Path(__file__).with_name("index_writer.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the writers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the index is."""
    return tmp_path_factory.mktemp("killed") / "index"


@pytest.fixture(scope="module")
def kills(folder: Path) -> list[dict[str, Any]]:
    """What was found after each kill."""
    command = [sys.executable, str(WRITER), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_fifty_kills_at_random_moments(kills: list[dict[str, Any]]) -> None:
    """The reader found a whole index each time, no older than the last write told of; the writers died at work."""
    found = [kill for kill in kills if kill["how"] == "random"]
    assert len(found) == 50
    assert all(kill["found"] >= kill["before"] + kill["writes"] for kill in found)
    assert not any(kill["ended"] for kill in found)


def test_a_kill_before_each_change_of_a_write(kills: list[dict[str, Any]], folder: Path) -> None:
    """The old index is there until the settings are renamed, the new one from then on; the last write sweeps up."""
    found = [kill for kill in kills if kill["how"] == "change"]
    assert [kill["ended"] for kill in found] == [False] * (len(found) - 1) + [True]
    assert len(found) > 5
    steps = [kill["found"] - kill["before"] for kill in found]
    assert steps == sorted(steps)
    assert set(steps) == {0, 1}
    assert len(list(folder.iterdir())) == 2
    assert [path.name for path in folder.parent.iterdir()] == ["index"]

"""``python -m rankgrad.deploy`` prints an order, or one line of what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rankgrad import deploy
from rankgrad.deploy.__main__ import main

DOCUMENTS = ["open a file", "sort the values", "a date"]


@pytest.fixture
def bundle(tiny_bundle: Callable[[str], Path]) -> str:
    return str(tiny_bundle("interaction"))


def test_json(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([bundle, "sort", *DOCUMENTS, "--json", "--k", "2", "--threads", "1"]) == 0
    expected = [result._asdict() for result in deploy.load(bundle, threads=1).rerank("sort", DOCUMENTS, k=2)]
    assert json.loads(capsys.readouterr().out) == expected


def test_table(bundle: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([bundle, "sort", *DOCUMENTS, "--variant", "int8"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["rank", "score", "index", "document"]
    results = deploy.load(bundle, variant="int8").rerank("sort", DOCUMENTS)
    assert [row.split(maxsplit=3)[2:] for row in rows] == [[str(each.index), each.document] for each in results]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "sort", "a"], "nowhere does not exist"),
        (["BUNDLE", " ", "a"], "the query is empty"),
        (["BUNDLE", "sort", "a", "--k", "2"], "k=2 with 1 documents"),
    ],
)
def test_bad_input_is_one_line(
    bundle: str, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([bundle if argument == "BUNDLE" else argument for argument in arguments]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert message in written.err
    assert written.err.count("\n") == 1


def test_it_imports_no_torch(bundle: str) -> None:
    script = (
        "import sys\n"
        "from rankgrad.deploy.__main__ import main\n"
        f"assert main([{bundle!r}, 'sort', 'a key', '--json']) == 0\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert [each["index"] for each in json.loads(done.stdout)] == [0]

"""The server as a process: it starts without torch, stops without losing a request, and says why it cannot start."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError

pytest.importorskip("fastapi", reason="the extra serve is not installed")

# A run of as many rows as GATED has waits for a line.
SCRIPT = """
import sys
from rankgrad.deploy.graph import Graph
from rankgrad.deploy.serve.__main__ import main
batches = Graph.batches
def gated(graph, tokens):
    if len(tokens.input_ids) == 3:
        sys.stdin.readline()
    return batches(graph, tokens)
Graph.batches = gated
code = main(sys.argv[1:])
assert not {"torch", "transformers"} & set(sys.modules)
sys.exit(code)
"""
GATED = {"query": "sort", "documents": ["a key", "a date", "a file"]}
JSON = {"Content-Type": "application/json"}


def request(port: int, method: str, path: str, content: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, None if content is None else json.dumps(content), JSON)
        response = connection.getresponse()
        written = response.read().decode()
        return response.status, written if path == "/metrics" else json.loads(written)
    finally:
        connection.close()


def until_refused(port: int) -> list[tuple[int, Any]]:
    """What /health says until nobody listens."""
    answers: list[tuple[int, Any]] = []
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            answers.append(request(port, "GET", "/health"))
        except (OSError, http.client.HTTPException):
            return answers
        time.sleep(0.05)
    raise AssertionError("the server still listens")


def test_sigterm_answers_what_is_under_way_and_ends_with_0(tiny_bundle: Callable[[str], Path]) -> None:
    options = ["--port", "0", "--threads", "1", "--drain-delay", "1", "--body-timeout", "1"]
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tiny_bundle("interaction")), *options]
    with ThreadPoolExecutor(1) as pool:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            listening = json.loads(process.stderr.readline())
            assert listening["event"] == "listening"
            port = listening["port"]
            with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
                assert silent.recv(1) == b""
            under_way = pool.submit(request, port, "POST", "/rerank", GATED)
            until = time.monotonic() + 20
            while "in_progress 1.0" not in request(port, "GET", "/metrics")[1]:
                assert time.monotonic() < until
            process.send_signal(signal.SIGTERM)
            while (line := json.loads(process.stderr.readline()))["event"] != "draining":
                assert line["path"] == "/metrics"
            assert {(status, answer["status"]) for status, answer in until_refused(port)} == {(503, "draining")}
            assert not under_way.done()
            process.stdin.write("go on\n")
            process.stdin.flush()
            status, answer = under_way.result(20)
            assert (status, len(answer["results"])) == (200, 3)
            written, _ = process.stderr.read(), process.wait(20)
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stderr.close()
    lines = [json.loads(line) for line in written.splitlines()]
    assert process.returncode == 0, written
    assert [line["status"] for line in lines if line["event"] == "request" and line["path"] == "/rerank"] == [200]
    assert lines[-1]["event"] == "stopped"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nowhere does not exist"),
        (["--max-requests", "0"], "max_requests=0: pass more than 0"),
        (["--timeout", "inf"], "timeout=inf: pass at most"),
        (["--body-timeout", "inf"], "body_timeout=inf: pass at most"),
        (["--body-timeout", "nan"], "body_timeout=nan: pass more than 0"),
        (["--batch-wait-ms", "1e300"], "batch_wait=1e+297: pass at most"),
        (["--api-key", " "], "api_key is empty"),
        (["--api-key-file", "no.key"], "--api-key-file no.key cannot be read"),
        (["--port", "70000"], "port=70000"),
    ],
)
def test_what_cannot_be_used_is_one_line(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    from rankgrad.deploy.serve.__main__ import main

    assert main(["nowhere", *options]) == 2
    written = capsys.readouterr().err
    assert message in written
    assert written.count("\n") == 1


def test_a_port_that_is_taken(tiny_bundle: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from rankgrad.deploy.serve import ServerSettings, logs, run_server

    monkeypatch.setattr(logs, "log_json", lambda: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_server(tiny_bundle("interaction"), ServerSettings(port=port), threads=1) == 1


def test_the_key_comes_from_the_option_the_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import argparse

    from rankgrad.deploy.serve.arguments import KEY_VARIABLE, add_arguments, settings_from

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    (tmp_path / "key").write_text("from-file\n")
    monkeypatch.setenv(KEY_VARIABLE, "from-environment\r\n")
    for options, key in (
        ([], "from-environment"),
        (["--api-key-file", str(tmp_path / "key")], "from-file"),
        (["--api-key", " from-option ", "--api-key-file", str(tmp_path / "key")], "from-option"),
    ):
        assert settings_from(parser.parse_args(["bundle", *options])).api_key == key
    monkeypatch.delenv(KEY_VARIABLE)
    assert settings_from(parser.parse_args(["bundle"])).api_key is None


def test_a_key_that_no_client_can_send() -> None:
    from rankgrad.deploy.serve import ServerSettings

    with pytest.raises(InputError, match="white space around it"):
        ServerSettings(api_key="s3cret\n")

"""The latency case: FlashRank's layout, who disagrees, a start in a process of its own, and a quick run."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from benchmarks import latency, latency_starts
from benchmarks.__main__ import main
from benchmarks.latency_elsewhere import Elsewhere
from benchmarks.latency_providers import Provider
from benchmarks.latency_worker import measured
from benchmarks.options import Options
from benchmarks.parity import DisagreementError
from benchmarks.record import read
from benchmarks.workers import WorkerError
from rankgrad._checks import InputError

TEXTS = ("a query", ["one", "two", "three"])


def fixed(name: str, values: list[float], *, exact: bool = True) -> Provider:
    return Provider(name, exact, lambda: lambda query, documents: np.array(values))


def opened(*providers: Provider) -> dict[Provider, object]:
    return {provider: provider.open() for provider in providers}


def test_who_disagrees_gets_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    ours, wrong = fixed("rankgrad torch", [3.0, 2.0, 1.0]), fixed("peer", [3.0, 2.0, 1.1])
    rounded, turned = fixed("peer int8", [3.1, 2.1, 1.1], exact=False), fixed("q4", [1.0, 2.0, 3.0], exact=False)
    found = opened(ours, wrong, rounded, turned)
    rows = measured("three candidates", found, TEXTS, lowest_tau=0.8, rounds=2)  # type: ignore[arg-type]
    timed = [row.provider for row in rows if row.metric == latency.MILLISECONDS]
    assert timed == ["rankgrad torch", "peer int8"]
    agreement = {row.metric: row.p50 for row in rows if row.provider == "peer int8" and not row.unit}
    assert agreement["difference to torch"] == pytest.approx(0.1 / 3)
    assert agreement["Kendall tau with torch"] == 1.0
    output = capsys.readouterr().out
    assert "left out: peer, three candidates: DisagreementError" in output
    assert "left out: q4, three candidates: DisagreementError: q4: Kendall tau -1.000" in output


def test_what_is_ours_and_disagrees_ends_the_run() -> None:
    found = opened(fixed("rankgrad torch", [3.0, 2.0, 1.0]), fixed("rankgrad ONNX fp32", [3.0, 2.0, 1.1]))
    with pytest.raises(DisagreementError, match="rankgrad ONNX fp32: scores differ"):
        measured("three candidates", found, TEXTS, lowest_tau=0.8, rounds=2)  # type: ignore[arg-type]


def test_flashrank_layout(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "onnx").mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model_quantized.onnx"):
        (bundle / name).write_text(name)
    latency.flashrank_folder(bundle, tmp_path / "cache", "int8")
    folder = tmp_path / "cache" / latency.FLASHRANK_NAME
    assert {path.name for path in folder.iterdir()} == {"config.json", "tokenizer.json", latency.FLASHRANK_FILE}
    assert (folder / latency.FLASHRANK_FILE).read_text() == "onnx/model_quantized.onnx"


def test_a_start_is_timed_and_weighed() -> None:
    found = latency_starts.start("nothing", "found = [len(text) for text in documents]", *TEXTS)
    assert found.milliseconds > 0
    assert found.mebibytes > 1
    with pytest.raises(WorkerError, match="starting nothing: exit code 1"):
        latency_starts.start("nothing", "found = 1 / 0", *TEXTS)
    with pytest.raises(WorkerError, match="starting nothing: exit code 0"):
        latency_starts.start("nothing", "found = documents[1:]", *TEXTS)


def _python(path: Path, body: str) -> str:
    """An interpreter that runs a program of its own, whatever it is told to run."""
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


def test_a_peer_of_another_interpreter_answers_over_a_pipe(tmp_path: Path) -> None:
    lengths = _python(
        tmp_path / "lengths",
        "import json, sys\n"
        "print('loading')\n"
        "for line in sys.stdin:\n"
        "    query, documents = json.loads(line)\n"
        "    print('scores ' + json.dumps([len(query) + len(text) for text in documents]), flush=True)\n",
    )
    scores = Elsewhere(lengths, tmp_path, "model.onnx", 1)
    assert scores("ab", ["a", "bcd"]).tolist() == [3, 5]
    assert scores("é", ["a\nb"]).tolist() == [4]
    assert scores.close() == 0
    with pytest.raises(WorkerError, match="ended with exit code 3"):
        Elsewhere(_python(tmp_path / "ends", "raise SystemExit(3)\n"), tmp_path, "model.onnx", 1)("a", ["b"])
    with pytest.raises(WorkerError, match="nowhere does not start: No such file"):
        Elsewhere(str(tmp_path / "nowhere"), tmp_path, "model.onnx", 1)("a", ["b"])


def test_another_process_is_there_for_its_own_turns_alone(tmp_path: Path) -> None:
    body = "import json, sys\nfor line in sys.stdin:\n    print('scores [3.0, 2.0]', flush=True)\n"
    there = Elsewhere(_python(tmp_path / "fixed", body), tmp_path, "model.onnx", 1)
    seen: list[bool] = []

    def ours(query: str, documents: list[str]) -> np.ndarray:
        seen.append(there.process is None)
        return np.array([3.0, 2.0])

    called = {Provider("rankgrad torch", True, lambda: ours): ours, Provider("peer", True, lambda: there): there}
    rows = measured("a setting", called, ("a query", ["one", "two"]), lowest_tau=0.8, rounds=2)
    assert [row.provider for row in rows if row.metric == latency.MILLISECONDS] == ["rankgrad torch", "peer"]
    assert len(seen) > 2
    assert all(seen)
    assert there.process is None


@pytest.mark.parametrize("word", ["/bin/python", "torch=/bin/python", "fast-plaid="])
def test_interpreters_are_named_by_peer(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([latency.CASE, "--peer-python", word])
    assert "expected PEER=PYTHON, with one of fast-plaid, sentence-transformers-onnx" in capsys.readouterr().err


def test_a_gpu_is_refused() -> None:
    with pytest.raises(InputError, match="compares libraries on a CPU"):
        latency.run(Options(device="cuda"))


# Peers warn as they like.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_quick_run(tiny_encoder_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([latency.CASE, "--quick", "--model", str(tiny_encoder_folder), "--out", str(tmp_path)]) == 0
    output = capfd.readouterr().out
    rows, _ = read(next(tmp_path.glob("latency--*.csv")))
    timed = {row.provider for row in rows if row.metric == latency.MILLISECONDS}
    assert {"rankgrad torch", "rankgrad ONNX fp32", "rankgrad ONNX int8"} <= timed
    started = {row.provider for row in rows if row.metric == latency.START}
    assert started == {row.provider for row in rows if row.metric == latency.RESIDENT}
    assert {"rankgrad deploy fp32", "rankgrad deploy int8", "rankgrad torch"} <= started
    for module, peer in (("flashrank", "FlashRank fp32"), ("fastembed", "fastembed ONNX fp32")):
        assert (peer in timed) == (find_spec(module) is not None)
    assert ("skipped: FlashRank" in output) == (find_spec("flashrank") is None)

"""Compiled rankers: whole graphs, few of them, the same scores, and a cache that is checked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export import compile_cache, compile_ranker, load_compile_cache, save_compile_cache
from rankgrad.export.compiled_libraries import put_libraries, used_libraries
from rankgrad.export.package_files import machine
from rankgrad.export.probe import Shape, random_tokens
from rankgrad.export.token_graph import TokenGraph, kind_of

from .conftest import shaken

QUERIES = ["sort a list"] * 3
DOCUMENTS = ["return the number of items in a list", "open a file", "sort the values of a dictionary by key again"]
LENGTHS = (8, 9, 31, 32, 33, 100, 128, 200, 383, 512)
Rankers = Callable[[str], Any]


class Counting:
    """A compiler that runs graphs as they are and counts them."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: Any) -> Callable[..., Any]:
        self.graphs += 1
        return graph.forward


def eager(model: Any) -> TokenGraph:
    """The model as it is, run in the same way."""
    about = {"kind": kind_of(model), "device": model.device, "pad_id": model.tokenizer.pad_id}
    return TokenGraph(model.forward_tokens, **about, longest=512)


def test_any_length_and_any_number_of_rows_are_two_graphs(tiny_ranker: Rankers) -> None:
    model, counting = tiny_ranker("interaction"), Counting()
    compiled = compile_ranker(model, backend=counting)
    expected = eager(model)
    for rows in (1, 2, 5):
        for length in LENGTHS:
            tokens = random_tokens(model.tokenizer, Shape(rows, length, padding=length // 3))
            found = compiled.graph(tokens)
            np.testing.assert_allclose(found, expected(tokens), atol=1e-5)
    assert counting.graphs == 2


@pytest.mark.parametrize(
    "options",
    [
        {"listwise": True},
        {"compress_layer": 1, "compress_ratio": 3},
        {"listwise": True, "compress_layer": 1},
        {"listwise": True, "head": "cls"},
        {"compress_layer": 1, "head": "cls"},
    ],
    ids=["listwise", "compressing", "both", "listwise with a classifier", "compressing with a classifier"],
)
def test_candidates_that_see_each_other_and_shorter_documents(
    tiny_encoder_folder: Path, options: dict[str, Any]
) -> None:
    from rankgrad.models import CrossEncoder

    model, counting = shaken(CrossEncoder.from_pretrained(tiny_encoder_folder, max_length=96, **options)), Counting()
    compiled = compile_ranker(model, backend=counting)
    for count in (3, 1, 2):
        for words in (1, 5, 20):
            documents = [f"{text} {'list ' * words}" for text in DOCUMENTS[:count]]
            with torch.inference_mode():
                expected = model.score(QUERIES[:count], documents).numpy()
            np.testing.assert_allclose(compiled.score(QUERIES[:count], documents), expected, atol=1e-5)
    assert counting.graphs == 2
    # The weights are the model's own.
    for parameter in model.parameters():
        parameter.data.mul_(1.1)
    with torch.inference_mode():
        expected = model.score(QUERIES, DOCUMENTS).numpy()
    np.testing.assert_allclose(compiled.score(QUERIES, DOCUMENTS), expected, atol=1e-5)


def test_each_bucket_is_two_graphs_and_warming_up_makes_them(tiny_ranker: Rankers) -> None:
    model, counting = tiny_ranker("colbert"), Counting()
    compiled = compile_ranker(model, buckets=(64, 512), backend=counting)
    assert isinstance(compiled, deploy.ColBERT)
    # torch bounds the graphs of a code object; each bucket must have a bound of its own.
    with torch._dynamo.config.patch(recompile_limit=2):
        compiled.graph.warm_up()  # type: ignore[attr-defined]
        assert counting.graphs == 4
        expected = eager(model)
        for rows in (1, 4):
            for length in LENGTHS:
                tokens = random_tokens(model.tokenizer, Shape(rows, length, padding=5))
                np.testing.assert_allclose(compiled.graph(tokens), expected(tokens), atol=1e-5)
        found = compiled.score(QUERIES[:1], compiled.encode_documents(DOCUMENTS))
    with torch.inference_mode():
        np.testing.assert_allclose(found, model.score(QUERIES[:1], model.encode_documents(DOCUMENTS)), atol=1e-5)
    assert counting.graphs == 4


def test_a_cross_encoder_scores_as_before(tiny_ranker: Rankers) -> None:
    model = tiny_ranker("cls")
    compiled = compile_ranker(model, backend="eager")
    assert isinstance(compiled, deploy.CrossEncoder)
    with torch.inference_mode():
        expected = model.score(QUERIES, DOCUMENTS)
    for batch_size in (None, 2):
        np.testing.assert_allclose(compiled.score(QUERIES, DOCUMENTS, batch_size=batch_size), expected, atol=1e-5)


def test_batches_hold_one_bucket_each(tiny_ranker: Rankers) -> None:
    model = tiny_ranker("cls")
    about: dict[str, Any] = {"kind": kind_of(model), "device": model.device, "pad_id": 0, "longest": 96}
    graph = TokenGraph(model.forward_tokens, **about, buckets=(8, 16, 96))
    tokens = model.tokenizer(QUERIES * 3, DOCUMENTS * 3)
    found = [[graph.width(int(length)) for length in tokens.lengths[rows]] for rows, _ in graph.batches(tokens)]
    assert all(len(set(widths)) == 1 for widths in found)
    every = [width for widths in found for width in widths]
    assert every == sorted((graph.width(int(length)) for length in tokens.lengths), reverse=True)


@pytest.mark.parametrize(
    ("buckets", "message"),
    [((64, 32, 96), "rise"), ((1, 96), "at least 2"), ((16, 64), "up to 96 tokens")],
)
def test_buckets_that_cannot_be_used(tiny_ranker: Rankers, buckets: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_ranker(tiny_ranker("cls"), buckets=buckets)


def test_what_cannot_be_compiled(tiny_ranker: Rankers, tiny_encoder_folder: Path) -> None:
    from rankgrad.models import ColBERT, CrossEncoder

    with pytest.raises(TypeError, match="got Linear"):
        compile_ranker(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="training mode"):
        compile_ranker(CrossEncoder.from_pretrained(tiny_encoder_folder).train())
    with pytest.raises(InputError, match="prunes"):
        compile_ranker(ColBERT.from_pretrained(tiny_encoder_folder, keep_share=0.5))


def cache(path: Path, **changes: Any) -> Path:
    """A cache of artifacts that torch cannot read, with a sound head but for the changes."""
    head = {"format": compile_cache._FORMAT, "machine": machine("cpu"), **changes}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rankgrad.json", json.dumps(head))
        archive.writestr("artifacts", b"no artifacts")
    return path


@pytest.mark.skipif(torch.cuda.is_available(), reason="the caches here are a CPU's")
def test_caches_that_cannot_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "cache"
    with pytest.raises(InputError, match="is no file"):
        load_compile_cache(path)
    path.write_bytes(b"PK something else")
    with pytest.raises(InputError, match="damaged, or no compile cache"):
        load_compile_cache(path)
    with pytest.raises(InputError, match="is no compile cache"):
        load_compile_cache(cache(path, format="another"))
    with pytest.raises(InputError, match=r"for torch 1\.0, and this is"):
        load_compile_cache(cache(path, machine=machine("cpu") | {"torch": "1.0"}))
    with pytest.raises(InputError, match="for device cuda, and this is cpu"):
        load_compile_cache(cache(path, machine=machine("cpu") | {"device": "cuda"}))
    with pytest.raises(InputError, match="cannot be read by torch"):
        load_compile_cache(cache(path))
    whole = path.read_bytes()
    packed = zlib.compressobj(wbits=-15)
    content = packed.compress(b"no artifacts") + packed.flush()
    assert whole.count(content) == 1
    other = zlib.compressobj(wbits=-15)
    # A block of no known type, then other content of the same length.
    broken = (b"\xff" * len(content), other.compress(b"No artifacts") + other.flush())
    for damaged in (whole[:-30], *(whole.replace(content, each) for each in broken)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged, or no compile cache"):
            load_compile_cache(path)


def test_libraries_go_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "inductor"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
    put_libraries(
        {"ab/cabc.so": b"probe", "ab/cabc.main.so": b"kernel", "../cabc.so": b"", "/ab/cabc.so": b"", "x": b""}
    )
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"inductor/ab/cabc.so", "inductor/ab/cabc.main.so"}
    assert used_libraries() == {"ab/cabc.so": b"probe"}
    put_libraries({"ab/cabc.so": b"another"})
    assert (folder / "ab" / "cabc.so").read_bytes() == b"probe"


PROCESS = """
import sys
from torch._dynamo.utils import counters
from rankgrad.export import compile_ranker, load_compile_cache, save_compile_cache
from rankgrad.models import CrossEncoder

model = CrossEncoder.from_pretrained(sys.argv[1], head="cls")
if sys.argv[3] == "load":
    assert load_compile_cache(sys.argv[2]) > 0
compiled = compile_ranker(model)
print(compiled.score(["sort"] * 2, ["a list", "open a file"]).tolist())
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
if sys.argv[3] == "save":
    assert save_compile_cache(sys.argv[2]) > 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="compiles for a CPU")
def test_a_second_process_compiles_nothing(tiny_ranker: Rankers, tmp_path: Path) -> None:
    tiny_ranker("cls").save_pretrained(tmp_path / "model")

    def run(step: str) -> list[str]:
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / step)}
        command = [sys.executable, "-c", PROCESS, str(tmp_path / "model"), str(tmp_path / "cache"), step]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.splitlines()

    first, second = run("save"), run("load")
    assert first == [second[0], "0 1"]
    assert second[1] == "1 0"
    with zipfile.ZipFile(tmp_path / "cache") as archive:
        kept = {name for name in archive.namelist() if name.endswith(".so")}
    # A library that the second process had built would be there too.
    assert {f"libraries/{path.relative_to(tmp_path / 'load')}" for path in (tmp_path / "load").glob("??/*.so")} == kept
    assert any(name.endswith(".main.so") for name in kept)
    assert list(tmp_path.glob(".*")) == []


def test_nothing_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: None)
    with pytest.raises(InputError, match="nothing was compiled"):
        save_compile_cache(tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []

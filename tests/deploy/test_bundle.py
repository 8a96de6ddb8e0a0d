"""A bundle that cannot be used is refused in one clear sentence."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.deploy.samples import SampleParity
from rankgrad.deploy.verification import verify_bundle


@pytest.fixture
def bundle(tiny_bundle: Callable[[str], Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle("colbert"), tmp_path / "bundle"))


def change(bundle: Path, **values: Any) -> None:
    path = bundle / "rankgrad.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def record(bundle: Path, variant: str) -> None:
    """Enter the present state of a graph's file, as if it had been exported so."""
    content = json.loads((bundle / "rankgrad.json").read_text())
    graph = content["graphs"][variant]
    graph |= deploy.bundle.fingerprint(bundle / graph["file"])
    change(bundle, graphs=content["graphs"])


def cut_and_record(bundle: Path) -> None:
    cut(bundle / "onnx/model.onnx")
    record(bundle, "fp32")


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, r"bundle does not exist: pass a bundle"),
    "no marker": (lambda bundle: (bundle / "rankgrad.json").unlink(), r"is no bundle \(it has no rankgrad.json\)"),
    "no JSON": (lambda bundle: (bundle / "rankgrad.json").write_text("{\n]"), r"rankgrad.json:2: no valid JSON"),
    "nested too deep": (lambda bundle: (bundle / "rankgrad.json").write_text("[" * 200_000), r"json:1: no valid JSON"),
    "too long a number": (lambda bundle: (bundle / "rankgrad.json").write_text("9" * 5000), r"json:1: no valid JSON"),
    "no object": (lambda bundle: (bundle / "rankgrad.json").write_text("[1]"), r"format_version None"),
    "a later format": (lambda bundle: change(bundle, format_version=99), r"format_version 99, this rankgrad reads 1"),
    "an unknown kind": (lambda bundle: change(bundle, kind="oracle"), r"kind 'oracle'"),
    "no settings": (lambda bundle: change(bundle, tokenizer={}), r"its settings cannot be used \('rules'\)"),
    "another width": (lambda bundle: change(bundle, dim=7), r"cannot be used \(dim=7, the graph gives \d+"),
    "no graphs": (lambda bundle: change(bundle, graphs={}), r"has no variant 'fp32'"),
    "half an entry": (lambda bundle: change(bundle, graphs={"fp32": {}}), r"an entry of graphs is not understood"),
    "no tokenizer": (lambda bundle: (bundle / "tokenizer.json").unlink(), r"tokenizer.json is missing"),
    "half a tokenizer": (lambda bundle: cut(bundle / "tokenizer.json"), r"tokenizer.json is damaged"),
    "no graph": (lambda bundle: (bundle / "onnx/model.onnx").unlink(), r"model.onnx is missing"),
    "half a graph": (lambda bundle: cut(bundle / "onnx/model.onnx"), r"model.onnx has \d+ bytes instead of \d+"),
    "too long a graph": (lambda bundle: lengthen(bundle / "onnx/model.onnx"), r"instead of \d+: it is changed; copy"),
    "a changed weight": (lambda bundle: flip(bundle / "onnx/model.onnx"), r"model.onnx is damaged \(its SHA-256"),
    "no ONNX": (cut_and_record, r"model.onnx is no ONNX graph that loads"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named(bundle: Path, name: str) -> None:
    damage, message = DAMAGE[name]
    damage(bundle)
    with pytest.raises(InputError, match=message):
        deploy.load(bundle)


A_STRING, AN_OBJECT, A_NUMBER = "a string", "an object", "a number"
A_LENGTH, AN_ID = "a whole number from 1 to 2147483647", "a whole number from 0 to 2147483647"
MISFITS: list[tuple[str, Any, str]] = [
    ("samples.tolerance", None, A_NUMBER),
    ("samples.tolerance", "x", A_NUMBER),
    ("samples.tolerance", 10**400, A_NUMBER),
    ("samples.difference", None, AN_OBJECT),
    ("samples.difference", [], AN_OBJECT),
    ("samples.difference.fp32", True, A_NUMBER),
    ("samples.agreement", 1, AN_OBJECT),
    ("samples.rank_agreement", "high", A_NUMBER),
    ("graphs", [], AN_OBJECT),
    ("graphs.fp32", [1], AN_OBJECT),
    ("graphs.fp32.file", None, A_STRING),
    ("graphs.fp32.file", 5, A_STRING),
    ("graphs.fp32.file", [], A_STRING),
    ("graphs.fp32.bytes", -1, "a whole number from 0"),
    ("graphs.fp32.sha256", 0, A_STRING),
    ("graphs.fp32.fit", "no", "true or false"),
    ("graphs.fp32.data", None, AN_OBJECT),
    ("options", None, AN_OBJECT),
    ("options", 5, AN_OBJECT),
    ("options", "x", AN_OBJECT),
    ("options", {"lookup": 1}, "true or false"),
    ("files", 0, AN_OBJECT),
    ("files", {"config.json": 1}, AN_OBJECT),
    ("opset", "20", AN_ID),
    ("dim", None, A_LENGTH),
    ("dim", -1, A_LENGTH),
    ("dim", True, A_LENGTH),
    ("tokenizer", [], AN_OBJECT),
    ("tokenizer.mask_id", None, AN_ID),
    ("tokenizer.mask_id", "x", AN_ID),
    ("tokenizer.pad_id", None, AN_ID),
    ("tokenizer.pad_id", 1e30, AN_ID),
    ("tokenizer.rules", "x", AN_OBJECT),
    ("tokenizer.rules.query_length", 0, A_LENGTH),
    ("tokenizer.rules.query_length", -1, A_LENGTH),
    ("tokenizer.rules.query_length", 1.5, A_LENGTH),
    ("tokenizer.rules.expansion_length", 10**25, f"{A_LENGTH}, or null"),
    ("tokenizer.rules.attend_to_expansion", "x", "true or false"),
    ("tokenizer.rules.skip_words", [1], "a list of strings"),
    ("tokenizer.rules.query_prompt", 1, A_STRING),
]
MISFITS_OF_KINDS: list[tuple[str, str, Any, str]] = [
    ("cross_encoder", "tokenizer.max_length", "long", A_LENGTH),
    ("cross_encoder", "tokenizer.query_prompt", None, A_STRING),
    ("cross_encoder", "options.listwise", 1, "true or false"),
    ("causal_reranker", "tokenizer.template.body", None, A_STRING),
    ("causal_reranker", "tokenizer.template.no", 1, "a string, or null"),
    ("colbert_reranker", "tokenizer.rules.document_length", "x", A_LENGTH),
    ("dense_encoder", "options.similarity", "euclid", "'cosine' or 'dot'"),
    ("dense_encoder", "options.normalize", None, "true or false"),
    ("dense_encoder", "options.scale", "x", A_NUMBER),
    ("sparse_encoder", "options.document_top_k", 0, f"{A_LENGTH}, or null"),
    ("feature_ranker", "features", [], AN_OBJECT),
    ("feature_ranker", "features.count", 0, A_LENGTH),
    ("feature_ranker", "features.names", "a", "a list of strings, or null"),
]


def put(content: dict[str, Any], key: str, value: Any) -> None:
    *above, last = key.split(".")
    for name in above:
        content = content.setdefault(name, {})
    content[last] = value


def assert_refused(bundle: Path, content: dict[str, Any], key: str, what: str) -> None:
    (bundle / "rankgrad.json").write_text(json.dumps(content))
    said = (
        rf"rankgrad.json: {re.escape(key)}[^ ]* is .*, expected {re.escape(what)}.*: copy or export the bundle again$"
    )
    for opened in (deploy.read_settings, deploy.load, verify_bundle):
        with pytest.raises(InputError, match=said):
            opened(bundle)


@pytest.mark.parametrize(("key", "value", "what"), MISFITS)
def test_a_value_of_another_type_is_named(
    tiny_bundle: Callable[[str], Path], tmp_path: Path, key: str, value: Any, what: str
) -> None:
    content = json.loads((tiny_bundle("colbert") / "rankgrad.json").read_text())
    put(content, key, value)
    assert_refused(tmp_path, content, key, what)


@pytest.mark.parametrize(("kind", "key", "value", "what"), MISFITS_OF_KINDS)
def test_each_kind_has_types_of_its_own(tmp_path: Path, kind: str, key: str, value: Any, what: str) -> None:
    content = {"format_version": 1, "kind": kind, "graphs": {}, "tokenizer": {}, "dim": 1, "features": {}}
    put(content, key, value)
    assert_refused(tmp_path, content, key, what)


def test_an_id_beyond_the_vocabulary_is_refused(bundle: Path) -> None:
    content = json.loads((bundle / "rankgrad.json").read_text())
    change(bundle, tokenizer=content["tokenizer"] | {"pad_id": 100_000})
    with pytest.raises(InputError, match="pad_id=100000 is no token of this vocabulary"):
        deploy.load(bundle)


def test_keys_that_nobody_knows_and_records_that_are_null_are_let_be(bundle: Path) -> None:
    content = json.loads((bundle / "rankgrad.json").read_text())
    content["graphs"]["fp32"]["colour"] = 7
    content["options"] = {}
    change(bundle, **content | {"files": None, "samples": None, "note": [None, 1e30], "longest": "x"})
    assert deploy.load(bundle).score(["sort"], deploy.load(bundle).encode_documents(["a date"])).shape == (1, 1)


def test_a_recorded_score_too_large_for_a_float_is_a_finding(bundle: Path) -> None:
    content = json.loads((bundle / "rankgrad.json").read_text())
    content["samples"]["lists"][0]["scores"][0] = 10**400
    change(bundle, samples=content["samples"])
    found = {each.check: each for each in verify_bundle(bundle)}
    assert found["scores fp32"].state == "failed"
    assert "the recorded samples cannot be scored" in found["scores fp32"].message


@pytest.mark.parametrize(("agreement", "state"), [(0.7999999999999999, "ok"), (0.79, "failed")])
def test_an_agreement_at_its_bound_passes(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, agreement: float, state: str
) -> None:
    content = json.loads((bundle / "rankgrad.json").read_text())
    samples = content["samples"] | {"rank_agreement": 0.8, "agreement": {"int8": 0.7999999999999999}}
    change(bundle, samples=samples)
    parity = SampleParity(0.0, agreement)
    monkeypatch.setattr("rankgrad.deploy.verification.compare_samples", lambda *_: parity)
    found = {each.check: each for each in verify_bundle(bundle)}
    assert found["scores int8"].state == state


def test_a_file_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is no folder"):
        deploy.load(tmp_path / "file")


@pytest.mark.parametrize("variant", ["fp16", "int4"])
def test_a_variant_that_is_not_there(bundle: Path, variant: Any) -> None:
    with pytest.raises(InputError, match=f"no variant '{variant}': choose one of fp32, int8"):
        deploy.load(bundle, variant=variant)


def test_threads_below_one(bundle: Path) -> None:
    with pytest.raises(InputError, match="threads=0"):
        deploy.load(bundle, threads=0)

"""A bundle is whole, reads as other runtimes expect, and is not written at all when anything is wrong."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export import ParityError, bundle, export_bundle
from rankgrad.export.files import write_tokenizer
from rankgrad.export.onnx import OPSET, Declared
from rankgrad.tokens import LateInteractionTokenizer

KINDS = ("cls", "mean", "interaction", "colbert")
FILES = {
    "README.md",
    "config.json",
    "onnx/model.onnx",
    "onnx/model_quantized.onnx",
    "rankgrad.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
}
Rankers = Callable[[str], Any]
Bundles = Callable[[str], Path]


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_files(tiny_bundle: Bundles, kind: str) -> None:
    folder = tiny_bundle(kind)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES
    assert list(folder.parent.glob(".*")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_config(tiny_bundle: Bundles, kind: str) -> None:
    config = read(tiny_bundle(kind), "config.json")
    expected = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 2, "pad_token_id": 0, "dtype": "float32"}
    assert config | expected == config
    assert "_name_or_path" not in config
    if kind == "colbert":
        assert config["architectures"] == ["BertModel"]
    else:
        assert config["architectures"] == ["BertForSequenceClassification"]
        assert (config["id2label"], config["label2id"]) == ({"0": "LABEL_0"}, {"LABEL_0": 0})


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
def test_tokenizer_files(tiny_ranker: Rankers, tiny_bundle: Bundles, kind: str) -> None:
    folder, model = tiny_bundle(kind), tiny_ranker(kind)
    config = read(folder, "tokenizer_config.json")
    assert (config["pad_token"], config["model_max_length"]) == ("[PAD]", 96 if kind == "interaction" else 180)
    roles = {f"{role.lower()}_token": f"[{role}]" for role in ("UNK", "SEP", "PAD", "CLS", "MASK")}
    assert read(folder, "special_tokens_map.json") == roles
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert vocabulary == [model.text_tokenizer.convert_ids_to_tokens(row) for row in range(len(vocabulary))]
    assert len(vocabulary) == len(model.text_tokenizer)


@pytest.mark.parametrize("kind", KINDS)
def test_settings_are_the_models(tiny_ranker: Rankers, tiny_bundle: Bundles, kind: str) -> None:
    tokenizer, exported = tiny_ranker(kind).tokenizer, deploy.load(tiny_bundle(kind), threads=1).tokenizer
    if isinstance(tokenizer, LateInteractionTokenizer):
        assert isinstance(exported, LateInteractionTokenizer)
        assert (exported.rules, exported.mask_id, exported.pad_id) == (tokenizer.rules, tokenizer.mask_id, 0)
    else:
        assert exported.settings() == tokenizer.settings()


@pytest.mark.parametrize("kind", KINDS)
def test_parity_is_recorded(tiny_bundle: Bundles, kind: str) -> None:
    content = read(tiny_bundle(kind), "rankgrad.json")
    parity = content["parity"]
    assert len(parity["shapes"]) >= 6
    assert max(each["difference"] for each in parity["shapes"]) < 1e-5
    assert parity["fp32"]["kendall_tau"] == 1.0
    assert parity["fp32"]["score_difference"] < 1e-5
    assert parity["fp32"]["score_difference"] < parity["int8"]["score_difference"]
    card = (tiny_bundle(kind) / "README.md").read_text(encoding="utf-8")
    for variant in ("fp32", "int8"):
        assert f"| {parity[variant]['kendall_tau']:.3f} | {parity[variant]['batch_dependence']:.2g} |" in card


@pytest.mark.parametrize("kind", ["mean", "colbert"])
def test_the_cards_code_runs(
    tiny_bundle: Bundles, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bundle(kind)
    monkeypatch.chdir(folder.parent)
    ours, plain = (folder / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    exec(ours.partition("```")[0], {})
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert sorted(index for index, _ in printed) == ["0", "1"]
    scope: dict[str, Any] = {}
    exec(plain.partition("```")[0], scope)
    if kind == "mean":
        scores = dict(printed)
        assert scope["output"] == pytest.approx(np.array([[float(scores["0"])]]), abs=1e-5)
    else:
        assert scope["output"].shape == (1, len(scope["text"].ids), 16)


@pytest.fixture
def exported_before(tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the test an export: the graph of the tiny ``mean`` head is copied instead."""

    def copy_graph(_: Any, path: Path) -> Declared:
        shutil.copy(tiny_bundle("mean") / "onnx" / "model.onnx", path)
        return Declared(("input_ids", "attention_mask", "token_type_ids"), "logits", OPSET)

    monkeypatch.setattr(bundle, "export_onnx", copy_graph)


@pytest.mark.usefixtures("exported_before")
def test_without_int8(tiny_ranker: Rankers, tmp_path: Path) -> None:
    said: list[str] = []
    lists = [("sort", ("a key", "sort the values"))]
    content = export_bundle(
        tiny_ranker("mean"), tmp_path / "plain", variants=(), calibration_texts=lists, progress=said.append
    )
    assert said == [
        "exporting the fp32 graph",
        "comparing it with torch",
        "comparing scores, and timing each graph",
    ]
    assert list(content["graphs"]) == ["fp32"]
    assert content == read(tmp_path / "plain", "rankgrad.json") | {"inputs": content["inputs"]}
    assert (content["parity"]["lists"], content["parity"]["documents"]) == (1, 2)
    with pytest.raises(InputError, match="no variant 'int8': choose one of fp32, or export again"):
        deploy.load(tmp_path / "plain", variant="int8")


def broken_exporter(*_: Any, **__: Any) -> None:
    raise RuntimeError("the exporter broke")


@pytest.mark.usefixtures("exported_before")
def test_a_graph_that_disagrees_leaves_nothing(tiny_ranker: Rankers, tmp_path: Path) -> None:
    other = copy.deepcopy(tiny_ranker("mean"))
    with torch.no_grad():
        other.head.scale += 0.01
    with pytest.raises(ParityError, match="the exported graph disagrees with torch"):
        export_bundle(other, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("exported_before")
@pytest.mark.parametrize(
    "step",
    ["write_tokenizer", "export_onnx", "check_shapes", "write_variant", "compare_variants", "card"],
)
def test_a_failure_leaves_nothing(
    tiny_ranker: Rankers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(bundle, step, broken_exporter)
    with pytest.raises(RuntimeError, match="the exporter broke"):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", rank_agreement=-1.0)
    assert list(tmp_path.iterdir()) == []


def other_words(folder: Path) -> None:
    """Another tokenizer of as many words."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    words = content["model"]["vocab"]
    places = sorted(words.values())
    inner = [place for place in places if not any(each["id"] == place for each in content["added_tokens"])]
    turned = dict(zip(inner, [*inner[1:], inner[0]], strict=True))
    content["model"]["vocab"] = {word: turned.get(place, place) for word, place in words.items()}
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.usefixtures("exported_before")
@pytest.mark.parametrize("step", ["texts", "samples"])
def test_a_fault_beside_the_graph_is_found(
    tiny_ranker: Rankers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def write(model: Any, folder: Path) -> None:
        write_tokenizer(model, folder)
        other_words(folder)

    monkeypatch.setattr(bundle, "write_tokenizer", write)
    if step == "samples":
        monkeypatch.setattr(bundle, "compare_variants", lambda *_, **__: {})
    with pytest.raises(ParityError, match=r"the scores of the fp32 graph disagree with torch: .* the tokenizer"):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", variants=())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("exported_before")
def test_int8_that_ranks_otherwise_is_refused_and_the_old_bundle_stays(
    tiny_ranker: Rankers, tiny_bundle: Bundles, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    (old / "rankgrad.json").write_text("an older bundle")
    with pytest.raises(ParityError, match=r"the int8 graph ranks otherwise than torch: .* bound 1.01"):
        export_bundle(tiny_ranker("mean"), old, rank_agreement=1.01)
    assert [path.name for path in tmp_path.rglob("*")] == ["old", "rankgrad.json"]


def test_other_folders_are_not_replaced(tiny_ranker: Rankers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "export_onnx", broken_exporter)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other files \(no rankgrad.json\)"):
        export_bundle(tiny_ranker("mean"), tmp_path)
    with pytest.raises(InputError, match="is a file"):
        export_bundle(tiny_ranker("mean"), tmp_path / "notes.txt", overwrite=True)
    with pytest.raises(RuntimeError, match="the exporter broke"):
        export_bundle(tiny_ranker("mean"), tmp_path, overwrite=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("lists", "message"),
    [([], "no query of calibration_texts given"), ([("sort", [])], "no document of the query 'sort'")],
)
def test_texts_that_cannot_be_compared(tiny_ranker: Rankers, tmp_path: Path, lists: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", calibration_texts=lists)


def test_another_kind_of_model(tmp_path: Path) -> None:
    model: Any = np.zeros(3)
    with pytest.raises(TypeError, match=r"expected a CrossEncoder, .* or a FeatureRanker, got ndarray"):
        export_bundle(model, tmp_path / "new")


def test_an_export_says_nothing_unasked(
    tiny_ranker: Rankers,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    handlers = list(logging.getLogger().handlers)
    export_bundle(tiny_ranker("colbert"), tmp_path / "quiet", rank_agreement=-1.0)
    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert list(recwarn) == []
    assert logging.getLogger().handlers == handlers

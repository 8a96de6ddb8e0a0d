"""A bundle with every graph: each is loaded by its name, measured, and said of on the card."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.data import CandidateList
from rankgrad.deploy.bundle import fingerprint
from rankgrad.deploy.samples import list_scores
from rankgrad.deploy.verification import verify_bundle
from rankgrad.export import ParityError, bundle, export_bundle, halve_onnx
from rankgrad.export.quality import mean_ndcg
from rankgrad.export.trace import OPSET, Declared
from rankgrad.export.variants import FILES, chosen_variants
from rankgrad.models import FeatureRanker
from rankgrad.types import VARIANTS, Variant

from .graph_faults import with_fault

TEXTS = [
    ("sort values", ("sort the values of a dictionary by key", "open a file", "parse a date " * 9)),
    ("read a file", ("open a file and read its lines", "raise an error", "join strings with a separator " * 5)),
]
JUDGED = [CandidateList(query, documents, (1.0, 0.0, 0.0)) for query, documents in TEXTS]
Rankers = Callable[[str], Any]
Bundles = Callable[[str], Path]


class Made(NamedTuple):
    """A bundle, what export gave, and what it said meanwhile."""

    folder: Path
    content: dict[str, Any]
    said: list[str]


@pytest.fixture
def exported_before(tiny_bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the test an export: the graph of the tiny ``mean`` head is copied instead."""
    monkeypatch.setattr(bundle, "export_onnx", partial(copied, tiny_bundle("mean")))


def copied(made: Path, _: Any, path: Path) -> Declared:
    shutil.copy(made / FILES["fp32"], path)
    return Declared(("input_ids", "attention_mask", "token_type_ids"), "logits", OPSET)


@pytest.fixture(scope="module")
def every(tiny_ranker: Rankers, tiny_bundle: Bundles, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The tiny ``mean`` head with all graphs; nothing counts as fit."""
    folder, said = tmp_path_factory.mktemp("variants") / "every", list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundle, "export_onnx", partial(copied, tiny_bundle("mean")))
        content = export_bundle(
            tiny_ranker("mean"),
            folder,
            variants=VARIANTS,
            calibration_texts=TEXTS,
            quality=JUDGED,
            ndcg_tolerance=-101,
            rank_agreement=-1.0,
            progress=said.append,
        )
    return Made(folder, content, said)


def test_each_graph_is_where_others_look_for_it(every: Made) -> None:
    names = {path.name for path in (every.folder / "onnx").iterdir()}
    assert names == {Path(file).name for file in FILES.values()}
    assert [name for name in names if "quantize" in name] == ["model_quantized.onnx"], "infinity takes the first such"
    assert list(every.content["graphs"]) == list(VARIANTS)
    for variant, graph in every.content["graphs"].items():
        assert graph | {"file": FILES[variant], **fingerprint(every.folder / FILES[variant])} == graph
    assert json.loads((every.folder / "rankgrad.json").read_text()) == every.content | {
        "inputs": list(every.content["inputs"])
    }
    assert [line for line in every.said if line.startswith("making")] == [
        f"making the {variant} graph" for variant in VARIANTS[1:]
    ]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_graph_is_loaded_by_its_name(every: Made, tiny_ranker: Rankers, variant: Variant) -> None:
    model = deploy.load(every.folder, variant=variant, threads=1)
    assert model.graph.batch_size == (1 if variant == "int8" else None)
    query, documents = TEXTS[0]
    got = list_scores(model, query, documents)  # type: ignore[arg-type]
    expected = tiny_ranker("mean").score([query] * 3, documents).detach().numpy()
    found = every.content["parity"][variant]
    assert abs(got - expected).max() <= found["score_difference"] * 1.001 + 1e-7
    bound = {"fp32": 1e-5, "optimized": 1e-5, "fp16": 5e-3}.get(variant, 0.5)
    assert found["score_difference"] < bound * found["score_spread"]
    assert (found["score_difference"] > 1e-5) == (variant not in ("fp32", "optimized"))


def test_only_int8_scaled_at_run_time_depends_on_other_rows(every: Made) -> None:
    for name in ("batch_dependence", "padding_dependence"):
        dependence = {variant: every.content["parity"][variant][name] for variant in VARIANTS}
        assert dependence.pop("int8") > 10 * dependence.pop("fp16")
        assert max(dependence.values()) < 1e-5


def test_quality_and_latency_are_of_the_graph(every: Made) -> None:
    quality, latency = every.content["quality"], every.content["latency"]
    assert (quality["queries"], quality["documents"], quality["tolerance"]) == (2, 6, -101)
    for variant in VARIANTS:
        model = deploy.load(every.folder, variant=variant, threads=1)
        found = quality["variants"][variant]
        assert found["ndcg"] == mean_ndcg(partial(list_scores, model), JUDGED)  # type: ignore[arg-type]
        assert found["loss"] == pytest.approx(100 * (quality["torch"] - found["ndcg"]))
        assert found["fit"] is every.content["graphs"][variant]["fit"] is False
        times = latency["variants"][variant]
        assert 0 < times["fastest"] <= times["median"] <= times["slowest"]
    assert (latency["threads"], latency["documents"]) == (1, 3)


def test_the_card_says_all_of_it(every: Made) -> None:
    card = (every.folder / "README.md").read_text()
    for variant in VARIANTS:
        rows = [line for line in card.splitlines() if line.startswith(f"| {variant} |")]
        assert [row.count("|") for row in rows] == [6, 7, 5, 5], "files, agreement, quality, latency"
        assert every.content["graphs"][variant]["sha256"] in rows[0]
        assert "**unfit**" in rows[0]
        assert rows[2].endswith("**unfit**: loses more than -101 |")
    assert "2 Attention, 2 BiasGelu, 5 SkipLayerNormalization" in card
    assert every.content["provenance"]["weights_sha256"] in card


def test_verify_passes_and_notes_what_is_unfit(every: Made) -> None:
    found = verify_bundle(every.folder)
    assert [each.state for each in found if each.state == "failed"] == []
    assert [each.check for each in found if each.state == "note"] == [f"graph {variant}" for variant in VARIANTS]


def test_without_judged_lists_nothing_is_said_of_quality(tiny_bundle: Bundles) -> None:
    content = json.loads((tiny_bundle("mean") / "rankgrad.json").read_text())
    assert "quality" not in content
    assert "fit" not in content["graphs"]["int8"]
    assert "nDCG" not in (tiny_bundle("mean") / "README.md").read_text()


@pytest.mark.usefixtures("exported_before")
def test_a_variant_that_disagrees_leaves_nothing(
    tiny_ranker: Rankers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = copy.deepcopy(tiny_ranker("mean"))
    with torch.no_grad():
        other.head.scale += 0.01
    monkeypatch.setattr(bundle, "check_shapes", lambda *_, **__: [])
    with pytest.raises(ParityError, match=r"model_O2.onnx: the exported graph disagrees with torch at Shape"):
        export_bundle(other, tmp_path / "new", variants=["optimized"])
    with pytest.raises(ParityError, match=r"the int4 graph ranks otherwise than torch: .* bound 1.01"):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", variants=["int4"], rank_agreement=1.01)
    assert list(tmp_path.iterdir()) == []


def shifted(graph: onnx.GraphProto) -> None:
    """Another model's head: the same order, other scores."""
    _followed(graph, "Add", 100.0)


def turned_round(graph: onnx.GraphProto) -> None:
    """Scores near 0 stay near it, and the last comes first."""
    _followed(graph, "Mul", -1.0)


def _followed(graph: onnx.GraphProto, operator: str, value: float) -> None:
    last = next(node for node in graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "before"
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(value, dtype=np.float32), "value"))
    graph.node.append(onnx.helper.make_node(operator, ["before", "value"], ["logits"]))


@pytest.mark.parametrize(("variant", "fault"), [("int8", shifted), ("fp16", shifted), ("fp16", turned_round)])
def test_another_graph_is_not_taken_for_rounding(every: Made, tmp_path: Path, variant: Variant, fault: Any) -> None:
    folder = Path(shutil.copytree(every.folder, tmp_path / "copy"))
    with_fault(folder / FILES[variant], folder / FILES[variant], fault)
    content = json.loads((folder / "rankgrad.json").read_text())
    content["graphs"][variant] |= fingerprint(folder / FILES[variant])
    # These random weights score so little apart that int8 cannot keep the order, so the export was asked for none.
    content["samples"]["rank_agreement"] = 0.8
    assert content["samples"]["agreement"]["fp16"] > 0.8
    (folder / "rankgrad.json").write_text(json.dumps(content))
    found = {each.check: each for each in verify_bundle(folder) if "unfit" not in each.message}
    assert (found[FILES[variant]].state, found[f"graph {variant}"].state) == ("ok", "ok")
    assert found[f"scores {variant}"].state == "failed"
    assert found["scores fp32"].state == "ok"
    if fault is turned_round:
        assert "mean Kendall tau of the orders -" in found["scores fp16"].message


def test_variants_that_cannot_be_asked_for(tiny_ranker: Rankers, tmp_path: Path) -> None:
    assert chosen_variants(["fp16", "fp32", "int8", "fp16"]) == ("int8", "fp16")
    names: Any = "int8"
    with pytest.raises(TypeError, match="expected a sequence of names, got one string"):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", variants=names)
    names = ["int8", "int5"]
    with pytest.raises(InputError, match="'int5' is not known: choose from fp32, int8, int8-static"):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", variants=names)
    with pytest.raises(InputError, match="calibration_texts: int8-static takes its ranges"):
        export_bundle(tiny_ranker("mean"), tmp_path / "new", variants=["int8-static"])
    with pytest.raises(InputError, match="a FeatureRanker has one graph, in fp32; leave out fp16"):
        export_bundle(FeatureRanker(3), tmp_path / "new", variants=["fp16"])
    with pytest.raises(InputError, match="a FeatureRanker reads no texts"):
        export_bundle(FeatureRanker(3), tmp_path / "new", quality=JUDGED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("exported_before")
def test_making_variants_says_nothing_and_changes_nothing(
    tiny_ranker: Rankers, tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level, root.manager.disable
    export_bundle(
        tiny_ranker("mean"), tmp_path / "new", variants=VARIANTS, calibration_texts=TEXTS, rank_agreement=-1.0
    )
    assert (list(root.handlers), root.level, root.manager.disable) == before
    assert capfd.readouterr() == ("", "")
    assert list(recwarn) == []


def test_what_a_tool_changes_is_put_back_after_an_error(tmp_path: Path) -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.manager.disable
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(Exception, match="pars"):
        halve_onnx(tmp_path / "broken.onnx", tmp_path / "half.onnx")
    assert (list(root.handlers), root.manager.disable) == before

"""Listwise and compressing cross-encoders as graphs: a list stays together, and documents get as short as in torch.

The bundle of the kind ``listwise`` is of a model that is both.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from transformers import AutoTokenizer, ModernBertConfig, ModernBertForSequenceClassification

from rankgrad import deploy
from rankgrad.deploy.graph import Graph
from rankgrad.export import ParityError
from rankgrad.export.calibration import calibration_runs
from rankgrad.export.onnx import export_onnx
from rankgrad.export.pair_bundle import PairSubject
from rankgrad.export.parity import check_shapes
from rankgrad.models import CrossEncoder
from rankgrad.modules.packing import Layout, PackedSides
from rankgrad.modules.padded_merge import merge_rows
from rankgrad.modules.token_merge import merge_tokens

from .conftest import shaken
from .graph_faults import with_fault

QUERY = "sort a dictionary"
DOCUMENTS = ["open a file, and read its lines!", "sort the values of a dictionary by key", "a date", "list"]
Models = Callable[[str], Any]
Bundles = Callable[[str], Path]


def listwise(kind_bundle: Bundles, variant: Any = "fp32") -> Any:
    return deploy.load(kind_bundle("listwise"), variant=variant, threads=1)


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_list_is_one_run_in_any_order(kind_model: Models, kind_bundle: Bundles, variant: str) -> None:
    model, exported = kind_model("listwise"), listwise(kind_bundle, variant)
    assert exported.listwise
    queries = [QUERY, "open", QUERY, QUERY, "open", QUERY]
    documents = [DOCUMENTS[0], "a time", *DOCUMENTS[1:3], "a key", DOCUMENTS[3]]
    together = exported.score(queries, documents, batch_size=1)
    with torch.inference_mode():
        expected = model.score(queries, documents).numpy()
    np.testing.assert_allclose(together, expected, atol=1e-5 if variant == "fp32" else 0.2)
    order = np.array([5, 1, 3, 0, 4, 2])
    shuffled = exported.score([queries[i] for i in order], [documents[i] for i in order])
    np.testing.assert_allclose(shuffled, together[order], atol=1e-5)
    # Were lists split or mixed, this would be the same.
    alone = np.array([exported.score([q], [d])[0] for q, d in zip(queries, documents, strict=True)])
    assert (np.abs(alone - together) > 1e-3).all()


def test_copies_of_a_text_are_one_candidate(kind_bundle: Bundles) -> None:
    exported = listwise(kind_bundle)
    once, twice = exported.rerank(QUERY, DOCUMENTS), exported.rerank(QUERY, [*DOCUMENTS, DOCUMENTS[0]])
    assert [each.score for each in twice if each.index < 4] == [each.score for each in once]


def test_requests_of_a_server_do_not_see_each_other(kind_bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from rankgrad.deploy.serve import ServerSettings, app
    from rankgrad.deploy.serve.engines import PairEngine

    exported, made = listwise(kind_bundle), []
    batcher_of = app.Batcher
    monkeypatch.setattr(app, "Batcher", lambda *given, **options: made.append(batcher_of(*given, **options)) or made[0])
    app.create_app(exported, ServerSettings(port=0, batch_tokens=16), app.Served("tiny", "fp32"))
    requests = [(QUERY, DOCUMENTS), ("open", DOCUMENTS[:2]), (QUERY, DOCUMENTS[1:])]

    async def ask() -> list[Any]:
        engine = PairEngine(exported, made[0])
        return await asyncio.gather(*(engine.score(*request) for request in requests))

    made[0].start()
    answers = asyncio.run(ask())
    made[0].close()
    for (query, documents), answer in zip(requests, answers, strict=True):
        np.testing.assert_allclose(answer.raw, exported.score([query] * len(documents), documents), atol=1e-5)


def blind(graph: onnx.GraphProto) -> None:
    """No row attends to another: the mask of the others is closed everywhere, not for the row itself alone."""
    equal = {node.output[0] for node in graph.node if node.op_type == "Equal"}
    masks = [node for node in graph.node if node.op_type == "Where" and node.input[0] in equal]
    assert masks
    for mask in masks:
        mask.input[2] = mask.input[1]


def test_a_graph_without_attention_to_the_others_is_refused(
    kind_model: Models, kind_bundle: Bundles, tmp_path: Path
) -> None:
    wrong = with_fault(kind_bundle("listwise") / "onnx" / "model.onnx", tmp_path / "wrong.onnx", blind)
    with pytest.raises(ParityError, match=r"disagrees with torch at Shape\(batch=2"):
        check_shapes(PairSubject(kind_model("listwise")), Graph(wrong, threads=1), tolerance=1e-5)


def test_what_the_bundle_says(kind_model: Models, kind_bundle: Bundles) -> None:
    content = json.loads((kind_bundle("listwise") / "rankgrad.json").read_text())
    assert content["options"] == {"listwise": True}
    assert content["compress"] == {"layer": 1, "ratio": 3}
    card = (kind_bundle("listwise") / "README.md").read_text()
    assert "must be all candidates of one query" in card
    assert "Behind layer 1 every 3 neighbouring words" in card
    runs = calibration_runs(PairSubject(kind_model("listwise")), [(QUERY, DOCUMENTS), ("open", DOCUMENTS[:2])])
    assert [len(run.input_ids) for run in runs] == [4, 2]


def test_later_layers_read_fewer_tokens(kind_model: Models, kind_bundle: Bundles) -> None:
    model, path = kind_model("listwise"), kind_bundle("listwise") / "onnx" / "model.onnx"
    proto = onnx.load(str(path))
    weights = [node.output[0] for node in proto.graph.node if node.op_type == "Softmax"]
    for name in weights:
        proto.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    tokens = model.tokenizer([QUERY] * 4, DOCUMENTS)
    feeds = {each.name: getattr(tokens, each.name) for each in session.get_inputs()}
    widths = sorted(found.shape[-1] for found in session.run(weights, feeds))
    # [CLS], three words and [SEP] of the query, [SEP] of the document stay; of the rest, a third.
    longest = int((6 + -(-(tokens.lengths - 6) // 3)).max())
    before, rows = tokens.input_ids.shape[1], len(DOCUMENTS)
    # What [CLS] attends to decides how words are weighted; layers see their row and the first token of every row.
    assert longest < before
    assert widths == sorted([before, before + rows, longest + rows])


def test_rows_are_merged_as_packed_tokens_are() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.tensor([9, 1, 6, 4])
    real = torch.arange(9) < lengths[:, None]
    hidden, weights = torch.randn(4, 9, 5, generator=generator), torch.rand(4, 9, generator=generator)
    weights[0, 3:6] = 0.0
    document, words = (torch.rand(2, 4, 9, generator=generator) < torch.tensor([0.8, 0.7])[:, None, None]).unbind()
    for ratio in (1, 2, 3):
        sides = PackedSides(Layout.of(real), document[real], words[real])
        packed = merge_tokens(hidden[real], weights[real], sides, ratio=ratio)
        rows = merge_rows(hidden, weights, document & words & real, real, ratio=ratio)
        assert rows.real.sum(1).tolist() == list(packed.sides.layout.lengths)
        torch.testing.assert_close(rows.hidden[rows.real], packed.hidden)


def both(folder: Path) -> CrossEncoder:
    """Lists whose documents get shorter, read behind an exit, with rotated positions and windows."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    size: Any = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    config = ModernBertConfig(vocab_size=len(tokenizer), pad_token_id=0, local_attention=8, num_labels=1, **size)
    options: Any = {"listwise": True, "compress_layer": 1, "exits": (2,), "max_length": 40, "query_length": 12}
    return shaken(CrossEncoder(ModernBertForSequenceClassification(config), tokenizer, head="cls", **options))


@pytest.mark.parametrize("layer", [2, 3])
def test_padded_rows_score_as_packed_ones(tiny_encoder_folder: Path, layer: int) -> None:
    subject = PairSubject(both(tiny_encoder_folder), None if layer == 3 else layer)
    for shape, rows in subject.probes():
        fields = (rows.input_ids, rows.attention_mask, rows.token_type_ids)
        with torch.inference_mode():
            found = subject.graph(*(torch.from_numpy(field) for field in fields)).numpy()
        np.testing.assert_allclose(found, subject.expected(rows), atol=1e-5, rtol=1e-5, err_msg=str(shape))
    assert subject.settings().get("exit") == (None if layer == 3 else {"layer": 2, "depth": 3})


def test_a_classifier_is_part_of_the_graph(tiny_encoder_folder: Path, tmp_path: Path) -> None:
    options: Any = {"head": "cls", "listwise": True, "max_length": 48, "query_length": 12}
    subject = PairSubject(shaken(CrossEncoder.from_pretrained(tiny_encoder_folder, **options)))
    export_onnx(subject, tmp_path / "model.onnx")
    check_shapes(subject, Graph(tmp_path / "model.onnx", threads=1), tolerance=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["listwise", "compressing", "both"])
def test_each_alone_and_both_in_a_graph(tiny_encoder_folder: Path, tmp_path: Path, which: str) -> None:
    options: dict[str, Any] = {
        "listwise": {"head": "interaction", "listwise": True},
        "compressing": {"head": "cls", "compress_layer": 1},
    }
    if which == "both":
        subject = PairSubject(both(tiny_encoder_folder), 2)
    else:
        made = CrossEncoder.from_pretrained(tiny_encoder_folder, max_length=40, query_length=12, **options[which])
        subject = PairSubject(shaken(made))
    export_onnx(subject, tmp_path / "model.onnx")
    found = check_shapes(subject, Graph(tmp_path / "model.onnx", threads=1), tolerance=1e-5)
    assert {each.shape.batch for each in found} >= {1, 2, 5}

"""Bundles of dense, sparse and causal models, of exits, lists and shorter documents, of a ColBERT in one graph."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.deploy.verification import verify_bundle
from rankgrad.export import ParityError, bundle, export_bundle
from rankgrad.export.onnx import OPSET, Declared
from rankgrad.models import ColBERT, SparseEncoder
from rankgrad.modules.projection_layer import ProjectionLayer
from rankgrad.tokens import LateInteractionRules

KINDS = ("dense", "sparse", "causal", "exit", "reranker", "listwise")
QUERY = "sort a dictionary"
DOCUMENTS = ["open a file, and read its lines!", "sort the values of a dictionary by key", "a date", "list"]
TOKENS = ["batch", "tokens"]
EXPECTED: dict[str, tuple[dict[str, list[Any]], dict[str, list[Any]]]] = {
    "dense": (
        {"input_ids": TOKENS, "attention_mask": TOKENS},
        {"sentence_embedding": ["batch", 8], "last_hidden_state": [*TOKENS, 32]},
    ),
    "sparse": ({"input_ids": TOKENS, "attention_mask": TOKENS}, {"weights": ["batch", 147]}),
    "causal": ({"input_ids": TOKENS, "attention_mask": TOKENS}, {"logits": ["batch", 1]}),
    **dict.fromkeys(
        ("exit", "listwise"),
        ({"input_ids": TOKENS, "attention_mask": TOKENS, "token_type_ids": TOKENS}, {"logits": ["batch", 1]}),
    ),
    "reranker": (
        {
            "query_input_ids": ["queries", "query_tokens"],
            "query_attention_mask": ["queries", "query_tokens"],
            "document_input_ids": ["documents", "document_tokens"],
            "document_attention_mask": ["documents", "document_tokens"],
        },
        {"scores": ["queries", "documents"]},
    ),
}
Models = Callable[[str], Any]
Bundles = Callable[[str], Path]
Scores = Callable[[str, str, list[str]], list[float]]


def axes(values: Any) -> dict[str, list[Any]]:
    return {
        each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim] for each in values
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_free_axis_is_free_in_the_file(kind_bundle: Bundles, kind: str) -> None:
    graph = onnx.load(str(kind_bundle(kind) / "onnx" / "model.onnx")).graph
    assert (axes(graph.input), axes(graph.output)) == EXPECTED[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_order_are_torchs(kind_bundle: Bundles, kind_scores: Scores, kind: str) -> None:
    model = deploy.load(kind_bundle(kind), threads=1)
    assert not isinstance(model, deploy.FeatureRanker)
    expected = kind_scores(kind, QUERY, DOCUMENTS)
    results = model.rerank(QUERY, DOCUMENTS)
    assert [result.index for result in results] == np.argsort(-np.array(expected), kind="stable").tolist()
    assert [result.score for result in results] == pytest.approx(sorted(expected, reverse=True), abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_verify_passes_a_whole_bundle(kind_bundle: Bundles, kind: str) -> None:
    found = verify_bundle(kind_bundle(kind))
    assert {each.state for each in found} == {"ok"}, found
    assert any(each.check == "scores fp32" for each in found)


def test_a_damaged_table_of_query_weights_is_found(kind_bundle: Bundles, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(kind_bundle("sparse"), folder)
    content = (folder / "idf.json").read_text()
    (folder / "idf.json").write_text(content.replace('"sort":', '"sorted":'))
    assert "failed" in {each.state for each in verify_bundle(folder) if each.check == "idf.json"}
    with pytest.raises(InputError, match=r"idf.json has \d+ bytes instead of"):
        deploy.load(folder)


SCRIPT = """
import json, sys
for name in ("torch", "transformers", "onnx"):
    sys.modules[name] = None
from rankgrad import deploy
query, documents, *bundles = json.loads(sys.argv[1])
ranked = [deploy.load(bundle, threads=1).rerank(query, documents) for bundle in bundles]
print(json.dumps([[score for index, score, text in sorted(each)] for each in ranked]))
"""


def test_none_of_them_needs_torch(kind_bundle: Bundles, kind_scores: Scores) -> None:
    request = json.dumps([QUERY, DOCUMENTS, *(str(kind_bundle(kind)) for kind in KINDS)])
    done = subprocess.run([sys.executable, "-c", SCRIPT, request], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for kind, found in zip(KINDS, json.loads(done.stdout), strict=True):
        assert found == pytest.approx(kind_scores(kind, QUERY, DOCUMENTS), abs=1e-5, rel=1e-5), kind


def test_dense_embeddings_are_torchs_in_every_order(kind_model: Models, kind_bundle: Bundles) -> None:
    model, exported = kind_model("dense"), deploy.load(kind_bundle("dense"), threads=1)
    assert isinstance(exported, deploy.DenseEncoder)
    for theirs, ours in (
        (model.encode_queries([QUERY, "date"]), exported.encode_queries([QUERY, "date"], batch_size=1)),
        (model.encode_documents(DOCUMENTS), exported.encode_documents(DOCUMENTS)),
    ):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1.0, atol=1e-5)
    int8 = deploy.load(kind_bundle("dense"), variant="int8", threads=1)
    assert isinstance(int8, deploy.DenseEncoder)
    apart = np.abs(int8.encode_documents(DOCUMENTS) - exported.encode_documents(DOCUMENTS)).max()
    assert 0 < apart < 0.02


def test_what_follows_the_encoder_makes_the_embedding_of_the_second_output(
    kind_model: Models, kind_bundle: Bundles
) -> None:
    # Readers that pool by themselves take the modules of the folder, in order.
    folder, model = kind_bundle("dense"), kind_model("dense")
    modules = json.loads((folder / "modules.json").read_text())
    assert [each["type"].rpartition(".")[2] for each in modules] == [
        "Transformer",
        "Pooling",
        "Dense",
        "Dense",
        "Normalize",
    ]
    # The newest version that runs ONNX graphs opens no folder with other settings than these.
    assert set(json.loads((folder / "sentence_bert_config.json").read_text())) == {"max_seq_length", "do_lower_case"}
    tokens = deploy.load(folder, threads=1).tokenizer.documents(DOCUMENTS)  # type: ignore[union-attr]
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"))
    feeds = {"input_ids": tokens.input_ids, "attention_mask": tokens.attention_mask}
    embedding, hidden = session.run(["sentence_embedding", "last_hidden_state"], feeds)
    real = tokens.attention_mask[..., None]
    found = torch.from_numpy((hidden * real).sum(axis=1) / real.sum(axis=1)).float()
    for each in modules[2:4]:
        config = json.loads((folder / each["path"] / "config.json").read_text())
        assert set(config) == {"in_features", "out_features", "bias", "activation_function"}
        activation = torch.nn.Tanh() if config["activation_function"].endswith("Tanh") else None
        layer = ProjectionLayer(
            config["in_features"], config["out_features"], bias=config["bias"], activation=activation
        )
        layer.load_state_dict(load_file(folder / each["path"] / "model.safetensors"))
        found = layer(found)
    found = torch.nn.functional.normalize(found, dim=-1).detach().numpy()
    np.testing.assert_allclose(found, embedding, atol=1e-5)
    np.testing.assert_allclose(embedding, model.encode_documents(DOCUMENTS).numpy(), atol=1e-5)


@pytest.mark.parametrize("queries", ["lookup", "encoder"])
def test_sparse_terms_are_torchs(kind_model: Models, kind_bundle: Bundles, queries: Any) -> None:
    model, exported = kind_model("sparse"), deploy.load(kind_bundle("sparse"), threads=1)
    assert isinstance(exported, deploy.SparseEncoder)
    if queries == "encoder":
        model = SparseEncoder(model.backbone, model.text_tokenizer, query_top_k=7, document_length=40).eval()
        exported = deploy.SparseEncoder(exported.graph, exported.tokenizer, width=exported.width, query_top_k=7)
    for theirs, ours in (
        (model.encode_queries([QUERY, "date"]), exported.encode_queries([QUERY, "date"])),
        (model.encode_documents(DOCUMENTS), exported.encode_documents(DOCUMENTS, batch_size=3)),
    ):
        np.testing.assert_array_equal(ours.indices, theirs.indices.numpy())
        np.testing.assert_array_equal(ours.cu_seqlens, theirs.cu_seqlens.numpy())
        np.testing.assert_allclose(ours.values, theirs.values.numpy(), atol=1e-5)
        assert [list(each) for each in exported.terms(ours)] == [list(each) for each in model.terms(theirs)]


def test_a_prompt_may_be_padded_on_either_side(kind_model: Models, kind_bundle: Bundles) -> None:
    model = kind_model("causal")
    tokens = model.tokenizer([QUERY] * len(DOCUMENTS), DOCUMENTS)
    width = tokens.input_ids.shape[1]
    assert tokens.lengths.min() < width
    places = (np.arange(width + 3) - (width + 3 - tokens.lengths)[:, None]).clip(min=-1)
    left = np.take_along_axis(tokens.input_ids, places.clip(min=0), axis=1)
    session = onnxruntime.InferenceSession(str(kind_bundle("causal") / "onnx" / "model.onnx"))
    with torch.inference_mode():
        expected = model.score([QUERY] * len(DOCUMENTS), DOCUMENTS).numpy()[:, None]
    for ids, mask in ((tokens.input_ids, tokens.attention_mask), (left, (places >= 0).astype(np.int64))):
        np.testing.assert_allclose(
            session.run(None, {"input_ids": ids, "attention_mask": mask})[0], expected, atol=1e-5
        )


def test_a_graph_of_an_exit_leaves_the_later_layers_out(kind_model: Models, kind_bundle: Bundles) -> None:
    proto = onnx.load(str(kind_bundle("exit") / "onnx" / "model.onnx"))
    softmaxes = sum(node.op_type == "Softmax" for node in proto.graph.node)
    size = sum(np.prod(each.dims) for each in proto.graph.initializer)
    assert softmaxes == 1
    layer = sum(each.numel() for each in kind_model("exit").backbone.bert.encoder.layer[1].parameters())
    assert size < sum(each.numel() for each in kind_model("exit").parameters()) - layer
    assert json.loads((kind_bundle("exit") / "config.json").read_text())["num_hidden_layers"] == 1
    assert "behind layer 1 of 2" in (kind_bundle("exit") / "README.md").read_text()


def test_a_reranking_graph_expands_queries_and_skips_tokens_itself(
    kind_model: Models, kind_bundle: Bundles, kind_scores: Scores
) -> None:
    # Queries filled up with padding, not [MASK], and every document padded by nine: the masks decide.
    model = kind_model("reranker")
    queries, documents = model.tokenizer.queries([QUERY]), model.tokenizer.documents(DOCUMENTS)
    session = onnxruntime.InferenceSession(str(kind_bundle("reranker") / "onnx" / "model.onnx"))
    found = session.run(
        ["scores"],
        {
            "query_input_ids": np.where(queries.attention_mask == 1, queries.input_ids, 0),
            "query_attention_mask": queries.attention_mask,
            "document_input_ids": np.pad(documents.input_ids, ((0, 0), (0, 9)), constant_values=7),
            "document_attention_mask": np.pad(documents.attention_mask, ((0, 0), (0, 9))),
        },
    )[0]
    np.testing.assert_allclose(found[0], kind_scores("reranker", QUERY, DOCUMENTS), atol=1e-5)


def test_both_encoders_of_a_reranking_graph_share_their_weights(kind_model: Models, kind_bundle: Bundles) -> None:
    proto = onnx.load(str(kind_bundle("reranker") / "onnx" / "model.onnx"))
    size = sum(np.prod(each.dims) for each in proto.graph.initializer)
    assert size < 1.05 * sum(each.numel() for each in kind_model("reranker").parameters())


@pytest.fixture
def graph_of_another(kind_bundle: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares an export: the graph of the tiny dense encoder is copied instead."""

    source = kind_bundle("dense") / "onnx" / "model.onnx"

    def copy_graph(_: Any, path: Path) -> Declared:
        shutil.copy(source, path)
        return Declared(("input_ids", "attention_mask"), "sentence_embedding", OPSET)

    monkeypatch.setattr(bundle, "export_onnx", copy_graph)


@pytest.mark.usefixtures("graph_of_another")
def test_a_graph_that_disagrees_leaves_nothing(kind_model: Models, tmp_path: Path) -> None:
    other = copy.deepcopy(kind_model("dense"))
    with torch.no_grad():
        other.layers[0].linear.weight[0, 0] += 0.01
    with pytest.raises(ParityError, match="the exported graph disagrees with torch"):
        export_bundle(other, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused(kind_model: Models, tiny_encoder_folder: Path, tmp_path: Path) -> None:
    rules = LateInteractionRules(query_prefix="[Q]", document_prefix="[D]")
    pruned = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=8, keep_share=0.5)
    for model, options, message in (
        (kind_model("exit"), {"exit_layer": 3}, "exit_layer=3 has no head: choose one of 1, 2"),
        (kind_model("dense"), {"exit_layer": 1}, "a DenseEncoder has no exits"),
        (kind_model("exit"), {"one_graph": True}, "a CrossEncoder is one graph anyway"),
        (kind_model("reranker"), {"one_graph": True, "variants": ("int8-static",)}, "int8-static takes its ranges"),
        (kind_model("listwise"), {"exit_layer": 1}, "exit_layer=1 has no head: choose one of 2"),
        (pruned, {}, "this model prunes some"),
    ):
        with pytest.raises(InputError, match=message):
            export_bundle(model, tmp_path / "new", **options)
    assert list(tmp_path.iterdir()) == []

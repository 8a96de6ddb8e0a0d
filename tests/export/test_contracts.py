"""What text-embeddings-inference, Vespa and infinity ask of a folder, as their sources say it.

None of them is run: their rules are written out here, and the bundle is read by these rules. A server that reads it so
gets the scores that ``rankgrad.deploy`` gives.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from rankgrad import deploy
from rankgrad.export import separate_graphs, variants

QUERY = "sort a list"
# Of several lengths, so that a batch has padding.
DOCUMENTS = [
    "return the number of items in a list",
    "open a file and read its lines",
    "sort the values of a dictionary by key and sort them again",
    "list",
]
Bundles = Callable[[str], Path]
TOKENS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def declared(values: Sequence[Any]) -> dict[str, tuple[str, int]]:
    """Type and number of axes by name."""
    return {each.name: (each.type, len(each.shape)) for each in values}


def padded(rows: Sequence[Sequence[int]], fill: int) -> np.ndarray:
    width = max(map(len, rows))
    return np.array([[*row, *[fill] * (width - len(row))] for row in rows], dtype=np.int64)


@pytest.fixture(scope="module")
def reranker(tiny_bundle: Bundles) -> Path:
    return tiny_bundle("cls")


@pytest.fixture(scope="module")
def scores(reranker: Path) -> np.ndarray:
    """Of ``DOCUMENTS``, by the fp32 graph."""
    model = deploy.load(reranker, threads=1)
    assert isinstance(model, deploy.CrossEncoder)
    return model.score([QUERY] * len(DOCUMENTS), DOCUMENTS)


def check_scores(found: Any, scores: np.ndarray) -> None:
    """Fresh weights tell texts apart by little, so what agrees must agree to a small part of that."""
    np.testing.assert_allclose(found, scores, rtol=0, atol=np.ptp(scores) / 50)


# text-embeddings-inference: router/src/lib.rs, core/src/tokenization.rs, backends/ort/src/lib.rs


def served_as(folder: Path) -> str:
    """What the router takes a folder for."""
    config = read(folder / "config.json")
    if not any(each.endswith("Classification") for each in config["architectures"]):
        return "embedding"
    labels = config["id2label"]
    assert {places: name for name, places in config["label2id"].items()} == {int(each): labels[each] for each in labels}
    return "classifier" if len(labels) > 1 else "reranker"


def by_ort_backend(folder: Path, output: str, texts: Sequence[Any]) -> np.ndarray:
    """Tokens and tensors as the router and its ONNX backend make them."""
    config = read(folder / "config.json")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    lengths = folder / "sentence_bert_config.json"
    longest = read(lengths)["max_seq_length"] if lengths.is_file() else config["max_position_embeddings"]
    tokenizer.enable_truncation(longest)
    rows = [tokenizer.encode(*each) if isinstance(each, tuple) else tokenizer.encode(each) for each in texts]
    assert not (folder / "model.onnx").exists()
    graph = session(folder / "onnx" / "model.onnx")
    feeds = {
        TOKENS: padded([row.ids for row in rows], config["pad_token_id"]),
        MASK: padded([row.attention_mask for row in rows], 0),
    }
    if TYPES in declared(graph.get_inputs()):
        feeds[TYPES] = padded([row.type_ids for row in rows], 0)
    # It gives these and no others: a runtime refuses one that is missing, and one that is not declared.
    assert declared(graph.get_inputs()) == dict.fromkeys(feeds, ("tensor(int64)", 2))
    assert declared(graph.get_outputs())[output] == ("tensor(float)", 2)
    return graph.run([output], feeds)[0]


def test_text_embeddings_inference_serves_a_reranker(reranker: Path, scores: np.ndarray) -> None:
    assert served_as(reranker) == "reranker"
    config = read(reranker / "config.json")
    assert isinstance(config["model_type"], str)
    for name in ("hidden_size", "num_hidden_layers", "max_position_embeddings", "pad_token_id"):
        assert type(config[name]) is int
        assert config[name] >= 0
    assert read(reranker / "tokenizer_config.json").get("padding_side", "right") == "right"
    found = by_ort_backend(reranker, "logits", [(QUERY, document) for document in DOCUMENTS])
    assert found.shape == (len(DOCUMENTS), 1)
    check_scores(found[:, 0], scores)


def test_text_embeddings_inference_serves_embeddings(kind_bundle: Bundles) -> None:
    folder = kind_bundle("dense")
    assert served_as(folder) == "embedding"
    pooling = read(folder / "1_Pooling" / "config.json")
    assert [name for name in ("pooling_mode_cls_token", "pooling_mode_mean_tokens") if pooling[name] is True]
    prompts = read(folder / "config_sentence_transformers.json").get("prompts")
    assert prompts["query"] == "sort "
    model = deploy.load(folder, threads=1)
    assert isinstance(model, deploy.DenseEncoder)
    found = by_ort_backend(folder, "sentence_embedding", DOCUMENTS)
    np.testing.assert_allclose(found, model.encode_documents(DOCUMENTS), atol=1e-5)
    asked = by_ort_backend(folder, "sentence_embedding", [prompts["query"] + QUERY])
    np.testing.assert_allclose(asked, model.encode_queries([QUERY]), atol=1e-5)


def test_text_embeddings_inference_takes_no_colbert_for_a_reranker(tiny_bundle: Bundles) -> None:
    assert served_as(tiny_bundle("colbert")) == "embedding"


# Vespa: TokenTransformer.java (tokenInputIds and its like), HuggingFaceEmbedder.java, ColBertEmbedder.java,
# hugging-face-embedder.def, col-bert-embedder.def


def test_vespa_ranks_by_a_cross_encoder(reranker: Path, scores: np.ndarray) -> None:
    tokenizer = Tokenizer.from_file(str(reranker / "tokenizer.json"))
    graph = session(reranker / "onnx" / "model.onnx")
    # `onnx(name)` without an output takes the only one, and `{d0:0,d1:0}` its first value.
    assert declared(graph.get_outputs()) == {"logits": ("tensor(float)", 2)}
    assert declared(graph.get_inputs()) == dict.fromkeys((TOKENS, MASK, TYPES), ("tensor(int64)", 2))
    start, separator = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    query = tokenizer.encode(QUERY, add_special_tokens=False).ids
    found, plain = [], []
    for document in DOCUMENTS:
        # One row of a fixed length, filled up with zeros.
        first = [start, *query, separator]
        second = [*tokenizer.encode(document, add_special_tokens=False).ids, separator]
        space = [0] * (40 - len(first) - len(second))
        values = {
            TOKENS: [*first, *second, *space],
            MASK: [*[1] * (len(first) + len(second)), *space],
            TYPES: [*[0] * len(first), *[1] * len(second), *space],
        }
        feeds = {name: np.array([row], dtype=np.int64) for name, row in values.items()}
        found.append(graph.run(None, feeds)[0][0, 0])
        plain.append(graph.run(None, feeds | {TYPES: 0 * feeds[TYPES]})[0][0, 0])
    check_scores(found, scores)
    # Token types that are left out would be seen.
    assert np.abs(np.array(plain) - scores).max() > np.ptp(scores)


def test_vespa_embeds_by_a_dense_encoder(kind_bundle: Bundles) -> None:
    folder = kind_bundle("dense")
    graph = session(folder / "onnx" / "model.onnx")
    inputs, outputs = declared(graph.get_inputs()), declared(graph.get_outputs())
    # With two inputs it sends these two by their default names, with three token types, and more it refuses.
    assert list(inputs) == [TOKENS, MASK]
    assert outputs["last_hidden_state"] == ("tensor(float)", 3), "the default output, which it pools itself"
    assert outputs["sentence_embedding"] == ("tensor(float)", 2), "for `pooling-strategy` none"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = deploy.load(folder, threads=1)
    assert isinstance(model, deploy.DenseEncoder)
    for document, expected in zip(DOCUMENTS, model.encode_documents(DOCUMENTS), strict=True):
        row = tokenizer.encode(document)
        feeds = {TOKENS: np.array([row.ids]), MASK: np.array([row.attention_mask])}
        np.testing.assert_allclose(graph.run(["sentence_embedding"], feeds)[0][0], expected, atol=1e-5)


def test_vespa_embeds_by_a_colbert(tiny_bundle: Bundles) -> None:
    folder = tiny_bundle("colbert")
    settings = read(folder / "rankgrad.json")["tokenizer"]
    rules = settings["rules"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    graph = session(folder / "onnx" / "model.onnx")
    assert declared(graph.get_inputs()) == dict.fromkeys((TOKENS, MASK), ("tensor(int64)", 2))
    assert declared(graph.get_outputs()) == {"contextual": ("tensor(float)", 3)}

    def embedded(text: str, side: str) -> np.ndarray:
        """Every id is a setting there: start, end, mask, and the markers of queries and of documents."""
        longest = rules[f"{side}_length"]
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: longest - 3]
        marker = tokenizer.token_to_id(rules[f"{side}_prefix"])
        ids = [tokenizer.token_to_id("[CLS]"), marker, *ids, tokenizer.token_to_id("[SEP]")]
        fill = longest - len(ids) if side == "query" else 0
        feeds = {TOKENS: [[*ids, *[settings["mask_id"]] * fill]], MASK: [[*[1] * len(ids), *[0] * fill]]}
        return graph.run(["contextual"], {name: np.array(rows) for name, rows in feeds.items()})[0][0]

    query = embedded(QUERY, "query")
    np.testing.assert_allclose(np.linalg.norm(query, axis=-1), 1.0, atol=1e-5)
    found = [(query @ embedded(document, "document").T).max(axis=1).sum() for document in DOCUMENTS]
    model = deploy.load(folder, threads=1)
    assert isinstance(model, deploy.ColBERT)
    expected = model.score([QUERY], model.encode_documents(DOCUMENTS))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


# infinity: transformer/utils_optimum.py, transformer/crossencoder/optimum.py


def chosen_by_infinity(folder: Path, *, cpu: bool) -> list[str]:
    """The files that it would take one of: without order, so there should be one."""
    graphs = [path for path in folder.glob("**/*") if path.match("**.onnx")]
    preferred = [path for path in graphs if ("quantize" if cpu else "model.onnx") in path.name]
    return [path.relative_to(folder).as_posix() for path in (preferred if len(graphs) > 1 and preferred else graphs)]


@pytest.mark.parametrize(("cpu", "file"), [(True, "onnx/model_quantized.onnx"), (False, "onnx/model.onnx")])
def test_infinity_scores_pairs(reranker: Path, scores: np.ndarray, cpu: bool, file: str) -> None:
    from transformers import AutoConfig, AutoTokenizer

    assert chosen_by_infinity(reranker, cpu=cpu) == [file]
    longest = AutoConfig.from_pretrained(reranker).max_position_embeddings
    tokenizer = AutoTokenizer.from_pretrained(reranker)
    pairs = [(QUERY, document) for document in DOCUMENTS]
    options: dict[str, Any] = {"padding": True, "truncation": "longest_first", "return_tensors": "np"}
    rows = {name: each.astype(np.int64) for name, each in tokenizer(pairs, max_length=longest, **options).items()}
    graph = session(reranker / file)
    # What the tokenizer gives of its own accord is what the graph takes; token types are among it.
    assert declared(graph.get_inputs()).keys() == rows.keys() == {TOKENS, MASK, TYPES}
    assert next(iter(declared(graph.get_outputs()))) == "logits"
    found = graph.run(["logits"], rows)[0]
    if cpu:
        tokens = deploy.load(reranker, threads=1).tokenizer([QUERY] * len(DOCUMENTS), DOCUMENTS)  # type: ignore[union-attr, call-arg, operator]
        expected = deploy.Graph(reranker / file, threads=1)(tokens)
        check_scores(found, expected)
    else:
        check_scores(found.flatten(), scores)


def test_of_all_graphs_infinity_takes_one(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    for file in (*variants.FILES.values(), *separate_graphs.FILES.values()):
        (tmp_path / file).touch()
    assert chosen_by_infinity(tmp_path, cpu=True) == [variants.FILES["int8"]]
    assert chosen_by_infinity(tmp_path, cpu=False) == [variants.FILES["fp32"]]

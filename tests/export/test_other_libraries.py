"""An exported bundle, unchanged, in the libraries that read such folders: the scores are torch's."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad.export import export_bundle

QUERY = "sort a list"
# Of several lengths, so that a batch has padding; with punctuation, which ColBERT skips.
DOCUMENTS = [
    "return the number of items in a list",
    "open a file, and read its lines!",
    "sort the values of a dictionary by key, and sort them again",
    "list",
]
Bundles = Callable[[str], Path]
Rankers = Callable[[str], Any]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))


class Exported(NamedTuple):
    """A cross-encoder's bundle; the scores of ``DOCUMENTS`` that torch gives, and its int8 graph in one run."""

    folder: Path
    scores: np.ndarray
    int8_scores: np.ndarray


@pytest.fixture(scope="module")
def exported(tiny_ranker: Rankers, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The tiny cross-encoder with weights so large that its scores tell texts apart, and a wrong token shows."""
    model = copy.deepcopy(tiny_ranker("cls"))
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3, generator=generator)
        scores = model.score([QUERY] * len(DOCUMENTS), DOCUMENTS).numpy()
    # A length of the folder that the encoder came from, by which readers of the bundle must not cut.
    model.text_tokenizer.init_kwargs["max_length"] = 4
    folder = tmp_path_factory.mktemp("libraries") / "tiny"
    export_bundle(model, folder, rank_agreement=-1.0)
    tokens = model.tokenizer([QUERY] * len(DOCUMENTS), DOCUMENTS)
    int8_scores = deploy.Graph(folder / "onnx" / "model_quantized.onnx", threads=1)(tokens)[:, 0]
    assert np.ptp(scores) > 0.5
    return Exported(folder, scores, int8_scores)


def test_transformers_and_onnxruntime(exported: Exported) -> None:
    import onnxruntime
    from transformers import AutoConfig, AutoTokenizer

    folder = exported.folder
    config = AutoConfig.from_pretrained(folder)
    assert (config.num_labels, config.architectures) == (1, ["BertForSequenceClassification"])
    # The class that transformers 5 writes, TokenizersBackend, is unknown to 4.
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = tokenizer([QUERY] * len(DOCUMENTS), DOCUMENTS, padding=True, truncation=True, return_tensors="np")
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx")
    found = session.run(["logits"], {name: value.astype(np.int64) for name, value in rows.items()})[0]
    np.testing.assert_allclose(found[:, 0], exported.scores, atol=1e-5)


# What a library warns of when it is imported is not ours.
@pytest.mark.filterwarnings("ignore")
def test_sentence_transformers(exported: Exported) -> None:
    library = pytest.importorskip("sentence_transformers", reason="sentence-transformers is not installed")
    pytest.importorskip("optimum.onnxruntime", reason="its ONNX backend needs optimum-onnx", exc_type=ImportError)
    model = library.CrossEncoder(str(exported.folder), backend="onnx", device="cpu")
    pairs = [(QUERY, text) for text in DOCUMENTS]
    found = model.predict(pairs, activation_fn=torch.nn.Identity())
    np.testing.assert_allclose(found, exported.scores, atol=1e-5)


def as_flashrank(bundle: Path, cache: Path, graph: str) -> str:
    """FlashRank opens models of its own list: a folder of such a name, with a graph of such a name."""
    name, file = "ms-marco-MiniLM-L-12-v2", "flashrank-MiniLM-L-12-v2_Q.onnx"
    shutil.copytree(bundle, cache / name, ignore=shutil.ignore_patterns("onnx"))
    shutil.copy(bundle / graph, cache / name / file)
    return name


@pytest.mark.parametrize("graph", ["onnx/model.onnx", "onnx/model_quantized.onnx"])
def test_flashrank(exported: Exported, tmp_path: Path, graph: str) -> None:
    library = pytest.importorskip("flashrank", reason="flashrank is not installed")
    name = as_flashrank(exported.folder, tmp_path, graph)
    model = library.Ranker(model_name=name, cache_dir=str(tmp_path), log_level="WARNING")
    passages = [{"id": place, "text": text} for place, text in enumerate(DOCUMENTS)]
    found = {each["id"]: each["score"] for each in model.rerank(library.RerankRequest(query=QUERY, passages=passages))}
    logits = exported.int8_scores if "quantized" in graph else exported.scores
    np.testing.assert_allclose([found[place] for place in range(len(DOCUMENTS))], sigmoid(logits), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_rerankers(exported: Exported, tmp_path: Path) -> None:
    library = pytest.importorskip("rerankers", reason="rerankers is not installed")
    pytest.importorskip("flashrank", reason="rerankers runs ONNX graphs by flashrank, which is not installed")
    name = as_flashrank(exported.folder, tmp_path, "onnx/model.onnx")
    model = library.Reranker(name, model_type="flashrank", verbose=0, cache_dir=str(tmp_path))
    found = {result.document.text: result.score for result in model.rank(QUERY, DOCUMENTS).results}
    np.testing.assert_allclose([found[text] for text in DOCUMENTS], sigmoid(exported.scores), atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_fastembed_cross_encoder(exported: Exported) -> None:
    module = pytest.importorskip("fastembed.rerank.cross_encoder", reason="fastembed is not installed")
    from fastembed.common.model_description import ModelSource

    name = "rankgrad/tiny"
    module.TextCrossEncoder.add_custom_model(name, sources=ModelSource(hf=name))
    model = module.TextCrossEncoder(name, specific_model_path=str(exported.folder), threads=1)
    np.testing.assert_allclose(list(model.rerank(QUERY, DOCUMENTS)), exported.scores, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_fastembed_late_interaction(tiny_bundle: Bundles, tmp_path: Path) -> None:
    module = pytest.importorskip("fastembed.late_interaction.colbert", reason="fastembed is not installed")
    ours = deploy.load(tiny_bundle("colbert"), threads=1)
    assert isinstance(ours, deploy.ColBERT)
    rules, vocabulary = ours.tokenizer.rules, ours.tokenizer.tokenizer

    class Tiny(module.Colbert):
        """Markers and query length are a class's in fastembed; the defaults are those of BERT's ColBERTs."""

        QUERY_MARKER_TOKEN_ID = vocabulary.token_to_id(rules.query_prefix)
        DOCUMENT_MARKER_TOKEN_ID = vocabulary.token_to_id(rules.document_prefix)
        MIN_QUERY_LENGTH = rules.query_length - 1

    folder = tmp_path / "colbert"
    shutil.copytree(tiny_bundle("colbert"), folder, ignore=shutil.ignore_patterns("onnx"))
    # It looks for the graph of ColBERTs beside the configuration.
    shutil.copy(tiny_bundle("colbert") / "onnx" / "model.onnx", folder / "model.onnx")
    model = Tiny("colbert-ir/colbertv2.0", specific_model_path=str(folder), threads=1)
    query = next(iter(model.query_embed(QUERY)))
    found = [(query @ document.T).max(axis=1).sum() for document in model.embed(DOCUMENTS)]
    np.testing.assert_allclose(found, ours.score([QUERY], ours.encode_documents(DOCUMENTS))[0], atol=1e-5)


SCRIPT = """
import { env, AutoTokenizer, AutoModelForSequenceClassification } from "@huggingface/transformers";
env.allowRemoteModels = false;
env.localModelPath = process.argv[2];
const [query, documents] = JSON.parse(process.argv[4]);
const tokenizer = await AutoTokenizer.from_pretrained(process.argv[3]);
const found = {};
for (const dtype of ["fp32", "q8"]) {
  const model = await AutoModelForSequenceClassification.from_pretrained(process.argv[3], { dtype });
  // Of its own accord it gives segments for tokenizers of BERT's own class only.
  const options = { text_pair: documents, padding: true, truncation: true, return_token_type_ids: true };
  const rows = tokenizer(documents.map(() => query), options);
  const { logits } = await model(rows);
  found[dtype] = [...logits.data];
}
console.log(JSON.stringify(found));
"""


def test_transformers_js(exported: Exported, tmp_path: Path) -> None:
    node, modules = shutil.which("node"), os.environ.get("NODE_PATH", "")
    if node is None or not (Path(modules) / "@huggingface" / "transformers").is_dir():
        pytest.skip("needs node, and NODE_PATH naming a node_modules that holds @huggingface/transformers")
    script = tmp_path / "score.mjs"
    script.write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(modules)
    folder = exported.folder
    command = [node, str(script), str(folder.parent), folder.name, json.dumps([QUERY, DOCUMENTS])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["fp32"], exported.scores, atol=1e-5)
    np.testing.assert_allclose(found["q8"], exported.int8_scores, atol=1e-3)

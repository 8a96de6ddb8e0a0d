"""A ColBERT's encoders and MaxSim as three graphs: what they give, and what a bundle says of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.cli import main
from rankgrad.deploy.colbert_reranker import QueriesAndDocuments
from rankgrad.deploy.verification import verify_bundle
from rankgrad.export import ParityError, export_bundle, export_module
from rankgrad.export.late_encoders import DocumentEncoder, QueryEncoder
from rankgrad.export.reranker_bundle import RerankerSubject
from rankgrad.export.separate_graphs import FILES, GraphsInARow, _difference_in_a_row
from rankgrad.export.token_inputs import as_tensors
from rankgrad.models import ColBERT
from rankgrad.tokens import LateInteractionRules

PAGE = Path(__file__).resolve().parents[2] / "docs/export.md"
QUERIES = ["sort the values of a file", "date"]
DOCUMENTS = ["sort the values, by key!", "open a file and read its lines", "join strings with a separator", "?!"]
ENCODED = {"query": ["queries", "query_tokens"], "document": ["documents", "document_tokens"]}


class Apart(NamedTuple):
    model: ColBERT
    folder: Path
    content: dict[str, Any]


@pytest.fixture(scope="module")
def apart(tiny_encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Apart:
    """Weights of query tokens, expansion beyond the longest query, a prompt, and punctuation that is skipped."""
    rules = LateInteractionRules(
        query_prefix="[Q]",
        document_prefix="[D]",
        query_length=10,
        document_length=40,
        expansion_length=14,
        query_prompt="return ",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ColBERT.from_pretrained(tiny_encoder_folder, rules=rules, dim=16, query_weights="learned")
        model.fit_idf(DOCUMENTS)
        encoder: Any = model.backbone
        encoder.encoder.layer = encoder.encoder.layer[:1]
        encoder.config.num_hidden_layers = 1
    folder = tmp_path_factory.mktemp("apart") / "bundles" / "colbert"
    content = export_bundle(model.eval(), folder, variants=(), separate_graphs=True)
    return Apart(model, folder, content)


@pytest.fixture(scope="module")
def tokens(apart: Apart) -> QueriesAndDocuments:
    """As the tokenizer gives them: queries not yet expanded, and two more columns than they are expanded to."""
    tokenizer = apart.model.tokenizer
    asked = tokenizer.queries(QUERIES)
    lengths = [tokenizer.queries([query]).attention_mask.sum() for query in QUERIES]
    attention = (np.arange(16) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.pad(asked.input_ids, ((0, 0), (0, 2)))
    ids = np.where(attention == 1, ids, tokenizer.pad_id)
    found = tokenizer.documents(DOCUMENTS)
    return QueriesAndDocuments(ids, attention, found.input_ids, found.attention_mask)


def run(folder: Path, graph: str, ids: np.ndarray, attention: np.ndarray) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / FILES[graph]))
    return session.run(None, {"input_ids": ids, "attention_mask": attention})


def test_the_page_scores_as_the_bundle_does(apart: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [block.partition("```")[0] for block in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]]
    (code,) = [block for block in blocks if 'run("maxsim"' in block]
    monkeypatch.chdir(apart.folder.parents[1])
    # A query that is cut, beside one that is short; a document of skipped tokens and markers alone.
    queries = ["sort " * 20, QUERIES[1]]
    code = code.replace('["sort a list"]', repr(queries))
    code = code.replace('["list.sort sorts in place", "open opens a file"]', repr(DOCUMENTS))
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    opened = deploy.load(apart.folder, threads=1)
    assert isinstance(opened, deploy.ColBERT)
    for query, scores in zip(queries, names["scores"], strict=True):
        found = sorted(opened.rerank(query, DOCUMENTS))
        assert scores.tolist() == pytest.approx([result.score for result in found], abs=1e-5, rel=1e-5)
    assert np.ptp(names["scores"]) > 1


def test_every_free_axis_is_free_in_the_files(apart: Apart) -> None:
    expected: dict[str, tuple[dict[str, list[Any]], dict[str, list[Any]]]] = {"maxsim": ({}, {})}
    for side, axes in ENCODED.items():
        encoded = {f"{side}_embeddings": [*axes, 16], f"{side}_scored": axes}
        expected[f"{side}_encoder"] = ({"input_ids": axes, "attention_mask": axes}, encoded)
        expected["maxsim"][0].update(encoded)
    expected["maxsim"][1]["scores"] = ["queries", "documents"]
    for name, (inputs, outputs) in expected.items():
        graph = onnx.load(str(apart.folder / FILES[name])).graph
        for values, wanted in ((graph.input, inputs), (graph.output, outputs)):
            found = {each.name: each.type.tensor_type.shape.dim for each in values}
            assert {key: [axis.dim_param or axis.dim_value for axis in dims] for key, dims in found.items()} == wanted
        assert [each.name for each in graph.input] == apart.content["separate_graphs"][name]["inputs"]


def test_what_is_not_scored_is_zero(apart: Apart, tokens: QueriesAndDocuments) -> None:
    tokenizer, table = apart.model.tokenizer, apart.model.query_weights
    assert table is not None
    asked, found = tokenizer.queries(QUERIES), tokenizer.documents(DOCUMENTS)
    embeddings, scored = run(apart.folder, "query_encoder", *tokens[:2])
    assert scored.tolist() == np.pad(asked.scored, ((0, 0), (0, 2))).tolist()
    weights = table.table.detach().numpy()[np.pad(asked.input_ids, ((0, 0), (0, 2)))] * scored
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), weights, atol=1e-5)
    embeddings, scored = run(apart.folder, "document_encoder", *tokens[2:])
    assert scored.tolist() == found.scored.tolist()
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=-1), found.scored, atol=1e-5)


def test_the_three_in_a_row_are_the_model(apart: Apart, tokens: QueriesAndDocuments) -> None:
    with torch.inference_mode():
        expected = apart.model.score(QUERIES, apart.model.encode_documents(DOCUMENTS)).numpy()
    np.testing.assert_allclose(GraphsInARow(apart.folder)(tokens), expected, atol=1e-5, rtol=1e-5)


def test_graphs_of_another_model_are_refused(apart: Apart) -> None:
    other = RerankerSubject(apart.model)
    assert _difference_in_a_row(other, apart.folder, tolerance=1e-5) <= 1e-5
    with torch.no_grad():
        next(other.model.projection.parameters()).normal_()
    with pytest.raises(ParityError, match="the three graphs in a row disagree with torch"):
        _difference_in_a_row(other, apart.folder, tolerance=1e-5)


def test_the_bundle_lists_and_checks_them(apart: Apart, tmp_path: Path) -> None:
    content = json.loads((apart.folder / "rankgrad.json").read_text())
    assert content["separate_graphs"].keys() == FILES.keys()
    card = (apart.folder / "README.md").read_text()
    for name, graph in content["separate_graphs"].items():
        assert graph["file"] == FILES[name]
        assert content["files"][FILES[name]] == {key: graph[key] for key in ("bytes", "sha256")}
        assert f"| `{FILES[name]}` |" in card
        assert f"| `{graph['sha256']}` |" in card
    assert content["separate_graphs"]["maxsim"]["difference"] <= 1e-5
    assert {each.state for each in verify_bundle(apart.folder)} == {"ok"}
    shutil.copytree(apart.folder, tmp_path / "copy")
    with (tmp_path / "copy" / FILES["query_encoder"]).open("ab") as file:
        file.write(b"more")
    failed = [each.check for each in verify_bundle(tmp_path / "copy") if each.state == "failed"]
    assert failed == [FILES["query_encoder"]]


def test_a_bundle_has_none_unless_asked(tiny_bundle: Callable[[str], Path]) -> None:
    folder = tiny_bundle("colbert")
    assert "separate_graphs" not in json.loads((folder / "rankgrad.json").read_text())
    assert sorted(path.name for path in (folder / "onnx").iterdir()) == ["model.onnx", "model_quantized.onnx"]


def test_the_command_asks_for_them(apart: Apart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("rankgrad.export.export_bundle", lambda *_, **options: asked.append(options) or {})
    apart.model.save_pretrained(tmp_path / "model")
    for more in ([], ["--separate-graphs"]):
        assert main.main(["export", str(tmp_path / "model"), "--out", str(tmp_path / "out"), *more]) == 0
    assert [each["separate_graphs"] for each in asked] == [False, True]


def test_other_models_have_no_such_graphs(tiny_ranker: Callable[[str], Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="separate_graphs=True: a CrossEncoder has no MaxSim"):
        export_bundle(tiny_ranker("cls"), tmp_path / "bundle", separate_graphs=True)
    assert not (tmp_path / "bundle").exists()


def test_a_pruned_model_scores_what_it_keeps(kind_model: Callable[[str], Any]) -> None:
    model = kind_model("reranker")
    batch = as_tensors(model.tokenizer.documents(DOCUMENTS))
    with torch.inference_mode():
        embeddings, scored = DocumentEncoder(model)(batch.input_ids, batch.attention_mask)
        packed = model.encode_documents(DOCUMENTS)
    assert scored.sum() < batch.scored.sum()
    torch.testing.assert_close(embeddings[scored], packed.embeddings)
    assert not embeddings[~scored].any()


class Looked(nn.Module):
    """A ColBERT as the graphs know it, whose encoder looks vectors up."""

    def __init__(self, rules: LateInteractionRules, tokenizer: Any) -> None:
        super().__init__()
        self.rules, self.tokenizer, self.pruner, self.query_weights = rules, tokenizer, None, None
        self.vectors = nn.Embedding(200, 4)

    def forward_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.vectors(input_ids) + attention_mask.unsqueeze(-1)


@pytest.mark.parametrize("encoder", [QueryEncoder, DocumentEncoder])
def test_rules_that_do_nothing_leave_every_token(apart: Apart, tmp_path: Path, encoder: Any) -> None:
    # Without a list of skipped tokens there is nothing to compare with; without expansion padding stays.
    rules = LateInteractionRules(query_expansion=False, skip_words=())
    tokenizer = type(apart.model.tokenizer)(apart.model.tokenizer.tokenizer, rules, mask_id=4)
    ids = torch.tensor([[5, 6, 7], [8, 9, 0]])
    example = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    axes: dict[str, Any] = dict.fromkeys((*example, "embeddings", "scored"), ("rows", "tokens"))
    axes["embeddings"] = ("rows", "tokens", 4)
    export_module(encoder(Looked(rules, tokenizer)), example, tmp_path / "graph.onnx", axes=axes)
    with torch.no_grad():
        _, scored = encoder(Looked(rules, tokenizer))(*example.values())
    assert scored.tolist() == (ids > 0).tolist()

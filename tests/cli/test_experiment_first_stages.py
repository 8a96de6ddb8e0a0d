"""What may find the first documents of an experiment: each is the library's own, kept by the contents of its files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.cli._experiment_first_stage import IndexSettings
from rankgrad.cli._experiment_models import Models
from rankgrad.cli._experiment_retrievers import fingerprint
from rankgrad.cli._experiment_systems import SystemsOf
from rankgrad.cli._load import load_collection
from rankgrad.cli.experiment import read_experiment, read_settings
from rankgrad.data import write_run
from rankgrad.fuse import ScoreFusion
from rankgrad.models import ColBERT, DenseEncoder, SparseEncoder
from rankgrad.pipeline import Pipeline
from rankgrad.retrieve import BM25, TFIDF, DenseRetriever, LateInteractionRetriever, QueryLikelihood, SparseRetriever

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "first_stages.yaml"
QUERY = "sort the values and read a file"


def written(systems: Any, data: Path, path: Path, **more: Any) -> Path:
    content = {"collections": [{"data": str(data)}], "systems": systems, "depth": 4, **more}
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def built(systems: Any, data: Path, path: Path, **more: Any) -> dict[str, Pipeline]:
    settings = read_settings(written(systems, data, path, **more))
    task = load_collection(str(data)).task("test")
    return SystemsOf(settings, [task])(task)


def test_each_is_what_the_library_makes(
    folders: Any, tiny_encoder_folder: Path, tiny_mlm_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("faiss", reason="FAISS is an optional extra")
    texts = load_collection(str(folders.beir)).documents.texts
    dense, sparse = DenseEncoder.from_pretrained(tiny_encoder_folder), SparseEncoder.from_pretrained(tiny_mlm_folder)
    colbert = ColBERT.from_pretrained(folders.colbert)
    model = {"kind": "dense", "model": str(tiny_encoder_folder)}
    constants: dict[str, Any] = {"method": "bm25+", "k1": 0.9, "b": 0.4, "delta": 0.5}
    late = {"kind": "colbert", "model": str(folders.colbert)}
    cases: list[tuple[Any, Callable[..., Any]]] = [
        (None, BM25(texts)),
        ("bm25", BM25(texts)),
        ({"kind": "bm25", **constants}, BM25(texts, **constants)),
        ({"kind": "tfidf", "sublinear": True, "normalize": False}, TFIDF(texts, sublinear=True, normalize=False)),
        ({"kind": "query_likelihood", "mu": 10}, QueryLikelihood(texts, mu=10)),
        (model, DenseRetriever(dense, texts)),
        ({**model, "faiss": "HNSW4", "faiss_search": {"efSearch": 8}}, DenseRetriever(dense, texts, faiss="HNSW4")),
        ({"kind": "sparse", "model": str(tiny_mlm_folder)}, SparseRetriever(sparse, texts, width=sparse.width)),
        ({**late, "exact": True, "codec": "int8"}, LateInteractionRetriever(colbert, texts, codec="int8")),
        ({**late, "repetitions": 2, "final_dim": 8}, LateInteractionRetriever(colbert, texts)),
        (
            {"kind": "fusion", "of": [model, "tfidf"], "method": "sum", "normalise": "z_score", "depth": 3},
            lambda queries, k: ScoreFusion(normalisation="z_score")(
                [DenseRetriever(dense, texts)(queries, 3), TFIDF(texts)(queries, 3)]
            ),
        ),
    ]
    systems = {f"{place}": stage and {"first_stage": stage} for place, (stage, _) in enumerate(cases)}
    for cache in ({}, {"cache": str(tmp_path / "cache")}, {"cache": str(tmp_path / "cache")}):
        made = built(systems, folders.beir, tmp_path / "a.yaml", **cache)
        for name, (_, expected) in zip(made, cases, strict=True):
            found, wanted = made[name]([QUERY, "an index"]), expected([QUERY, "an index"], 4)
            assert torch.equal(found.ids, wanted.ids[:, :4]), name
            torch.testing.assert_close(found.scores, wanted.scores[:, :4])


class ExportedDense(deploy.DenseEncoder):
    """One whose graph is the model itself."""

    def __init__(self, model: DenseEncoder) -> None:
        self.model, self.similarity, self.normalize = model, model.similarity, model.normalize

    def encode_queries(self, texts: Any, *, batch_size: int | None = None) -> Any:
        return self.model.encode_queries(texts).numpy()

    def encode_documents(self, texts: Any, *, batch_size: int | None = None) -> Any:
        return self.model.encode_documents(texts).numpy()


class ExportedSparse(deploy.SparseEncoder):
    """One whose graph is the model itself."""

    def __init__(self, model: SparseEncoder) -> None:
        self.model, self.width = model, model.width

    def encode_queries(self, texts: Any, *, batch_size: int | None = None) -> deploy.SparseRows:
        return deploy.SparseRows(*(part.numpy() for part in self.model.encode_queries(texts)))

    def encode_documents(self, texts: Any, *, batch_size: int | None = None) -> deploy.SparseRows:
        return deploy.SparseRows(*(part.numpy() for part in self.model.encode_documents(texts)))


def test_exported_encoders_and_cosines(
    folders: Any, tiny_encoder_folder: Path, tiny_mlm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle's arrays are searched as tensors, and by cosine where the model compares so and gives other lengths."""
    dense = DenseEncoder.from_pretrained(tiny_encoder_folder, normalize=False)
    dense.save_pretrained(tmp_path / "dense")
    exported = {"dense": ExportedDense(dense), "sparse": ExportedSparse(SparseEncoder.from_pretrained(tiny_mlm_folder))}
    asked: list[str] = []

    def load(folder: Path, *, variant: str) -> Any:
        asked.append(variant)
        return exported[folder.name.removesuffix("_bundle")]

    monkeypatch.setattr(deploy, "load", load)
    systems: dict[str, Any] = {}
    for kind, folder in (("dense", tmp_path / "dense"), ("sparse", tiny_mlm_folder)):
        bundle = tmp_path / f"{kind}_bundle"
        bundle.mkdir()
        (bundle / "rankgrad.json").touch()
        systems[kind] = {"first_stage": {"kind": kind, "model": str(folder)}}
        systems[bundle.name] = {"first_stage": {"kind": kind, "model": str(bundle), "variant": "int8"}}
    made = built(systems, folders.beir, tmp_path / "a.yaml")
    assert asked == ["int8", "int8"]
    for kind in exported:
        found, wanted = made[f"{kind}_bundle"]([QUERY]), made[kind]([QUERY])
        assert torch.equal(found.ids, wanted.ids)
        torch.testing.assert_close(found.scores, wanted.scores)
    texts = load_collection(str(folders.beir)).documents.texts
    cosines = torch.cosine_similarity(dense.encode_queries([QUERY]), dense.encode_documents(texts))
    torch.testing.assert_close(made["dense"]([QUERY]).scores[0], cosines.sort(descending=True).values[:4])


def test_an_index_of_the_command(run: Any, folders: Any, tmp_path: Path) -> None:
    words = ("index", folders.colbert, "--corpus", folders.beir, "--out", "index", "--exact")
    assert run(*words).code == 0
    stage = {"kind": "index", "index": str(tmp_path / "index")}
    system = built({"index": {"first_stage": stage}}, folders.beir, tmp_path / "a.yaml")["index"]
    shown = json.loads(run("search", "--index", "index", QUERY, "-k", 4, "--json").out)["results"]
    found = system([QUERY])
    assert [f"d{row + 1}" for row in found.ids[0].tolist()] == [row["id"] for row in shown]
    assert found.scores[0].tolist() == [row["score"] for row in shown]
    places = (("", tmp_path / "index"),)
    before = fingerprint(IndexSettings(places, None, None, 500), Models())
    with (tmp_path / "more.jsonl").open("w") as corpus:
        corpus.write(json.dumps({"_id": "d1", "title": "", "text": "another text"}))
    assert run(*words[:3], "more.jsonl", *words[4:], "--overwrite").code == 0
    after = fingerprint(IndexSettings(places, None, None, 500), Models())
    assert {name for name in before if before[name] != after[name]} == {"index"}
    with pytest.raises(
        InputError, match=r"a\.yaml: systems: index: .*index indexes other documents than those of beir"
    ):
        built({"index": {"first_stage": stage}}, folders.beir, tmp_path / "a.yaml")


def test_the_example_keeps_what_it_measured(
    folders: Any, tiny_encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("faiss", reason="FAISS is an optional extra")
    for name, source in (("minilm", tiny_encoder_folder), ("colbert", folders.colbert)):
        shutil.copytree(source, tmp_path / name)
    places = {
        "minilm": tmp_path / "minilm",
        "runs/demo/models/colbert/best": tmp_path / "colbert",
        "pydoc": folders.beir,
    }
    text = EXAMPLE.read_text(encoding="utf-8").replace("runs/experiment_cache", str(tmp_path / "cache"))
    for old, new in places.items():
        text = text.replace(f"model: {old}", f"model: {new}").replace(f"data: {old}", f"data: {new}")
    (tmp_path / "a.yaml").write_text(text)
    encoded: list[type] = []
    for kind in (DenseRetriever, LateInteractionRetriever):
        index = kind.index
        monkeypatch.setattr(
            kind, "index", lambda self, index=index, **options: encoded.append(type(self)) or index(self, **options)
        )
    first = read_experiment(tmp_path / "a.yaml").run(progress=False).reports[0]
    assert len(first.systems) == 9
    assert len(encoded) == 3, "what several systems share is encoded once"
    again = read_experiment(tmp_path / "a.yaml").run(progress=False).reports[0]
    assert len(encoded) == 3
    assert all(system.kept for system in again.systems)
    assert [system.values for system in again.systems] == [system.values for system in first.systems]
    weights = tmp_path / "minilm" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    changed = read_experiment(tmp_path / "a.yaml").run(progress=False).reports[0]
    assert [system.name for system in changed.systems if not system.kept] == [
        *("MiniLM", "MiniLM in FAISS", "words and MiniLM", "words and MiniLM, then ColBERT")
    ]
    assert encoded[3:] == [DenseRetriever] * 2


DENSE = {"kind": "dense", "model": "m"}


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"knd": "bm25"}, "kind is missing: add it"),
        ("bm26", "kind 'bm26' is unknown: choose one of bm25, tfidf, query_likelihood, dense, sparse, colbert, index"),
        (3, "expected keys and values, got 3"),
        ({"kind": "bm25", "variant": "atire"}, "'variant' is unknown: choose among kind, method, k1, b, delta"),
        ({"kind": "bm25", "method": "okapi"}, "method 'okapi' is unknown: choose one of lucene, robertson"),
        ({"kind": "bm25", "k1": "high"}, "k1: expected a number, got 'high'"),
        ({"kind": "tfidf", "sublinear": 1}, "sublinear: expected true or false, got 1"),
        ({"kind": "query_likelihood", "smoothing": "none"}, "smoothing 'none' is unknown: choose one of dirichlet"),
        ({"kind": "dense"}, "model is missing: add it"),
        ({**DENSE, "codec": "int8"}, "'codec' is unknown: choose among kind, model, variant, faiss, faiss_search"),
        ({**DENSE, "variant": "int3"}, "variant 'int3' is unknown: choose one of fp32, int8"),
        ({**DENSE, "faiss_search": {"nprobe": 2}}, "faiss_search says nothing without faiss"),
        ({**DENSE, "faiss": "Flat", "faiss_search": [1]}, "faiss_search: expected names and their numbers, got [1]"),
        ({**DENSE, "kind": "colbert", "exact": True, "faiss": "Flat"}, "faiss is of the encodings that exact leaves"),
        ({**DENSE, "kind": "colbert", "codec": "fp8"}, "codec 'fp8' is unknown: choose one of fp16, int8"),
        ({"kind": "run", "run": ["a"]}, "run: expected a text, or names and their texts, got ['a']"),
        ({"kind": "fusion", "of": ["bm25"]}, "of: one first stage is fused already: name at least two"),
        ({"kind": "fusion", "of": ["bm25", {"kind": "bm25", "k": 1}]}, "of, number 2: 'k' is unknown: choose among"),
        ({"kind": "fusion", "of": ["bm25", "tfidf"], "method": "learned"}, "method 'learned' is unknown: choose one"),
        ({"kind": "fusion", "of": ["bm25", "tfidf"], "method": "borda", "k": 9}, "k says nothing to method borda"),
        ({"kind": "fusion", "of": ["bm25", "tfidf"], "weights": [1]}, "1 weights for 2 first stages: give each one"),
        ({"kind": "fusion", "of": ["bm25", "tfidf"], "weights": ["a", 1]}, "weights: expected a list of numbers"),
    ],
)
def test_what_a_file_may_not_say(stage: Any, message: str, tmp_path: Path) -> None:
    path = written({"a": {"first_stage": stage}}, tmp_path, tmp_path / "a.yaml")
    with pytest.raises(InputError) as caught:
        read_settings(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: systems: a: first_stage")


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (DENSE, "m is no folder: name a trained model or a bundle"),
        ({"kind": "fusion", "of": ["bm25", {"kind": "run", "run": "nowhere"}]}, "nowhere is no file: name a run"),
        ({"kind": "index", "index": "nowhere"}, "nowhere is no folder: name an index"),
        ({"kind": "run", "run": {"x": "run"}}, "run: 'x' is no collection: choose among BEIR"),
        ({"kind": "bm25", "k1": -1}, "k1=-1.0 must not be negative"),
        ({"kind": "dense", "model": "COLBERT"}, "Transformer, Dense: read are a Transformer"),
        ({"kind": "dense", "model": "BUNDLE"}, "BUNDLE holds a ColBERT, no dense encoder"),
        ({"kind": "sparse", "model": "COLBERT", "variant": "int8"}, "variant 'int8': COLBERT is no bundle"),
        ({"kind": "colbert", "model": "CROSS"}, "CROSS holds a cross-encoder, which has no token embeddings"),
        ({"kind": "run", "run": "unknown"}, "query 'q1' has the document 'd9', which beir/test lacks"),
        ({"kind": "run", "run": "others"}, "others answers no query of beir/test"),
    ],
)
def test_what_cannot_be_opened(stage: Any, message: str, folders: Any, run: Any, tmp_path: Path) -> None:
    write_run(tmp_path / "unknown", {"q1": {"d9": 1.0}})
    write_run(tmp_path / "others", {"q9": {"d1": 1.0}})
    places = {"COLBERT": folders.colbert, "BUNDLE": folders.colbert_bundle, "CROSS": folders.cross_encoder}
    if isinstance(stage.get("model"), str) and stage["model"] in places:
        stage = {**stage, "model": str(places[stage["model"]])}
    for name, place in {**places, "BEIR": folders.beir}.items():
        message = message.replace(name, str(place))
    path = written({"a": {"first_stage": stage}}, folders.beir, tmp_path / "a.yaml")
    outcome = run("evaluate", "--experiment", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert f"{path}: systems: a: " in outcome.err

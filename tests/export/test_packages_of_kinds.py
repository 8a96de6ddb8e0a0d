"""Ahead-of-time packages of dense and sparse encoders and of feature rankers.

The compiler takes seconds a model: most tests run what was traced for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.export import ParityError, ahead_of_time, export_package, load_package
from rankgrad.export.package_kinds import described, forward_of, opened_package, runner
from rankgrad.models import FeatureRanker, SparseEncoder

QUERIES = ["sort a dictionary", "a date"]
DOCUMENTS = ["open a file, and read its lines!", "sort the values of a dictionary by key", "date"]
Models = Callable[[str], Any]


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was traced is run by torch."""
    programs: dict[str, Any] = {}

    def keep(program: Any, package_path: str, inductor_configs: dict[str, Any]) -> None:
        Path(package_path).write_bytes(b"no machine code")
        programs["last"] = program.module()

    monkeypatch.setattr(torch._inductor, "aoti_compile_and_package", keep)
    monkeypatch.setattr(ahead_of_time, "opened", lambda _: lambda *inputs: programs["last"](*inputs))


def feature_ranker() -> FeatureRanker:
    rows = torch.randn(60, 3).exp()
    made = FeatureRanker(3, hidden=(8, 4), heads=2, attention_layers=1)
    made.fit_transform(rows)
    return made.eval()


def check_dense(model: Any, package: Any) -> None:
    assert isinstance(package, deploy.DenseEncoder)
    found = package.score(QUERIES, package.encode_documents(DOCUMENTS))
    np.testing.assert_allclose(found, model.score(QUERIES, model.encode_documents(DOCUMENTS)).numpy(), atol=1e-4)
    np.testing.assert_allclose(package.encode_queries(QUERIES[:1]), model.encode_queries(QUERIES[:1]), atol=1e-5)


def check_sparse(model: Any, package: Any) -> None:
    assert isinstance(package, deploy.SparseEncoder)
    for ours, theirs in (
        (package.encode_queries(QUERIES), model.encode_queries(QUERIES)),
        (package.encode_documents(DOCUMENTS), model.encode_documents(DOCUMENTS)),
    ):
        np.testing.assert_array_equal(ours.indices, theirs.indices.numpy())
        np.testing.assert_allclose(ours.values, theirs.values.numpy(), atol=1e-5)


def check_listwise(model: Any, package: Any) -> None:
    assert isinstance(package, deploy.CrossEncoder)
    assert package.listwise
    queries, documents = [*QUERIES, QUERIES[0]], [*DOCUMENTS, "a date"][: len(QUERIES) + 1]
    with torch.inference_mode():
        expected = model.score(queries, documents).numpy()
    np.testing.assert_allclose(package.score(queries, documents), expected, atol=1e-5)
    assert abs(package.score(queries[:1], documents[:1])[0] - expected[0]) > 1e-3, "a list of one is another list"


def check_features(model: Any, package: Any) -> None:
    assert isinstance(package, deploy.FeatureRanker)
    assert package.listwise
    lists = [np.random.default_rng(size).lognormal(size=(size, 3)).astype(np.float32) for size in (4, 1, 9)]
    for rows, found in zip(lists, package.score(lists), strict=True):
        given = torch.from_numpy(rows)[None]
        with torch.inference_mode():
            expected = model.forward_lists(given, torch.ones(given.shape[:2], dtype=torch.bool))[0]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def model_and_check(kind: str, kind_model: Models) -> tuple[Any, Callable[[Any, Any], None]]:
    if kind == "features":
        return feature_ranker(), check_features
    checks = {"dense": check_dense, "sparse": check_sparse, "listwise": check_listwise}
    return kind_model(kind), checks[kind]


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("kind", ["dense", "sparse", "features", "listwise"])
def test_a_package_of_each_kind_is_compared_and_opened(kind_model: Models, tmp_path: Path, kind: str) -> None:
    (model, check), folder = model_and_check(kind, kind_model), tmp_path / "package"
    content = export_package(model, folder)
    assert content["parity"]["difference"] <= 1e-5
    check(model, load_package(folder))
    if kind == "sparse":
        np.save(folder / "query_weights.npy", np.load(folder / "query_weights.npy") + 1.0)
        with pytest.raises(InputError, match=r"query_weights\.npy is damaged"):
            load_package(folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "sparse", "features", "listwise"])
def test_machine_code_of_each_kind(kind_model: Models, tmp_path: Path, kind: str) -> None:
    model, check = model_and_check(kind, kind_model)
    export_package(model, tmp_path / "package")
    check(model, load_package(tmp_path / "package"))


def test_queries_that_are_encoded_need_no_table(kind_model: Models, tmp_path: Path) -> None:
    looked_up = kind_model("sparse")
    model = SparseEncoder(looked_up.backbone, looked_up.text_tokenizer, query_top_k=7, document_length=40).eval()
    model.tokenizer.tokenizer.save(str(tmp_path / "tokenizer.json"))
    about = described(model, tmp_path)
    assert set(about.files) == {"tokenizer.json"}
    check_sparse(model, opened_package(tmp_path, about, lambda: runner(forward_of(model), about)))


def test_code_that_says_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ranker = feature_ranker()
    monkeypatch.setattr(ahead_of_time, "_compile", lambda model, path: path.touch())
    monkeypatch.setattr(ahead_of_time, "opened", lambda _: lambda *inputs: ranker.forward_lists(*inputs) + 1e-3)
    with pytest.raises(ParityError, match="disagrees with the model at ListShape"):
        export_package(ranker, tmp_path / "package")
    assert list(tmp_path.iterdir()) == []


def test_models_that_are_not_ready(kind_model: Models, tmp_path: Path) -> None:
    fresh = FeatureRanker(3, hidden=(4,))
    for model, message in (
        (fresh, "training mode"),
        (FeatureRanker(3, hidden=(4,)).eval(), "fit"),
        (feature_ranker().half(), "features are float32"),
    ):
        with pytest.raises(InputError, match=message):
            export_package(model, tmp_path / "package")
    with pytest.raises(TypeError, match=r"got CausalReranker"):
        export_package(kind_model("causal"), tmp_path / "package")

"""Exported models score as torch does and refuse what cannot be ranked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankgrad import deploy
from rankgrad._checks import InputError
from rankgrad.models import ColBERT, CrossEncoder

QUERIES = ("sort a dictionary", "read lines", "parse a date from text and return a time, please, and sort the values")
DOCUMENTS = (
    "sort the values of a dictionary by key",
    "open a file and read its lines",
    "a date",
    "join several strings with a separator " * 9,
    "?!",
)
KINDS = ("cls", "mean", "interaction", "colbert")
Rankers = Callable[[str], Any]
Bundles = Callable[[str], Path]


def torch_scores(model: CrossEncoder | ColBERT) -> np.ndarray:
    with torch.inference_mode():
        if isinstance(model, ColBERT):
            return model.score(QUERIES, model.encode_documents(DOCUMENTS)).numpy()
        return np.stack([model.score([query] * len(DOCUMENTS), DOCUMENTS).numpy() for query in QUERIES])


def deploy_scores(model: deploy.CrossEncoder | deploy.ColBERT, batch_size: int | None = None) -> np.ndarray:
    if isinstance(model, deploy.ColBERT):
        return model.score(QUERIES, model.encode_documents(DOCUMENTS, batch_size=batch_size))
    size = len(DOCUMENTS)
    return np.stack([model.score([query] * size, DOCUMENTS, batch_size=batch_size) for query in QUERIES])


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_torchs(tiny_ranker: Rankers, tiny_bundle: Bundles, kind: str) -> None:
    model = deploy.load(tiny_bundle(kind), threads=1)
    expected = torch_scores(tiny_ranker(kind))
    for batch_size in (None, 1, 2, 99):
        found = deploy_scores(model, batch_size)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_token_embeddings_are_torchs(tiny_ranker: Rankers, tiny_bundle: Bundles) -> None:
    model, exported = tiny_ranker("colbert"), deploy.load(tiny_bundle("colbert"), threads=1)
    with torch.inference_mode():
        embeddings, mask = model.encode_queries(QUERIES)
        documents = model.encode_documents(DOCUMENTS)
    found, found_mask = exported.encode_queries(QUERIES)
    np.testing.assert_array_equal(found_mask, mask.numpy())
    np.testing.assert_allclose(found, embeddings.numpy(), rtol=0, atol=1e-5)
    packed = exported.encode_documents(DOCUMENTS)
    np.testing.assert_array_equal(packed.cu_seqlens, documents.cu_seqlens.numpy())
    np.testing.assert_allclose(packed.embeddings, documents.embeddings.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
def test_an_int8_score_does_not_depend_on_the_other_rows(tiny_bundle: Bundles, kind: str) -> None:
    model = deploy.load(tiny_bundle(kind), variant="int8", threads=1)
    np.testing.assert_array_equal(deploy_scores(model), deploy_scores(model, batch_size=1))
    alone = [model.rerank(QUERIES[0], [document])[0].score for document in DOCUMENTS]
    together = {result.index: result.score for result in model.rerank(QUERIES[0], DOCUMENTS)}
    assert [together[index] for index in range(len(DOCUMENTS))] == alone


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
def test_results_are_in_order(tiny_bundle: Bundles, kind: str) -> None:
    model = deploy.load(tiny_bundle(kind), threads=1)
    results = model.rerank(QUERIES[0], DOCUMENTS)
    order = np.argsort(-deploy_scores(model)[0], kind="stable").tolist()
    assert [result.index for result in results] == order
    assert [result.document for result in results] == [DOCUMENTS[index] for index in order]
    assert model.rerank(QUERIES[0], DOCUMENTS, k=2) == results[:2]


def test_of_equal_scores_the_lowest_index_comes_first(tiny_bundle: Bundles) -> None:
    results = deploy.load(tiny_bundle("colbert"), threads=1).rerank("sort", ["a key", "a date", "a key", "a date"])
    assert [result.index for result in results] in ([0, 2, 1, 3], [1, 3, 0, 2])


def test_a_document_without_scored_tokens_comes_last(tiny_bundle: Bundles) -> None:
    model = deploy.load(tiny_bundle("colbert"), threads=1)
    rules = replace(model.tokenizer.rules, skip_words=("[CLS]", "[SEP]", "[D]", "?", "!"))
    model.tokenizer = replace(model.tokenizer, rules=rules)
    first, last = model.rerank("sort", ["?!", "a key"])
    assert (first.index, last.index, last.score) == (1, 0, -np.inf)


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_runs_side_by_side_change_no_score(tiny_bundle: Bundles, kind: str, variant: Any) -> None:
    one, two = (deploy.load(tiny_bundle(kind), variant=variant, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(deploy_scores(two, batch_size=1), deploy_scores(one, batch_size=1))


def test_runs_go_side_by_side_and_a_failed_one_is_told(tiny_bundle: Bundles) -> None:
    """Two runs wait for each other, which only ends when both are under way; no run begins in the session of one."""
    graph = deploy.load(tiny_bundle("cls"), threads=2).graph
    tokens = deploy.load(tiny_bundle("cls"), threads=1).tokenizer(["sort"] * 2, ["a key", "a date and a time"])
    both = threading.Barrier(2, timeout=20)

    class Session:
        def run(self, outputs: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            both.wait()
            if feeds["input_ids"].shape[1] < tokens.input_ids.shape[1]:
                raise RuntimeError("out of memory")
            return [feeds["input_ids"]]

    graph._session = None
    graph._lane = Session()
    with pytest.raises(RuntimeError, match="out of memory"):
        list(graph.batches(tokens, batch_size=1))


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_long_document_is_cut_to_the_limit(tiny_bundle: Bundles, kind: str, variant: Any) -> None:
    model = deploy.load(tiny_bundle(kind), variant=variant, threads=1)
    words = "sort the values of a dictionary by key "
    long = (words * (100_000 // len(words) + 1))[:100_000]
    first, second = model.rerank("sort", [long, long[:20_000]])
    assert (first.index, second.index) == (0, 1)
    assert first.score == second.score


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
@pytest.mark.parametrize(
    ("query", "documents", "k", "error", "message"),
    [
        ("  ", ["a"], None, InputError, "the query is empty"),
        (["sort"], ["a"], None, TypeError, "query: expected a string, got list"),
        ("sort", "a text", None, TypeError, "document: expected a sequence of strings, got one string"),
        ("sort", [], None, InputError, "no document given"),
        ("sort", ["a", "\t"], None, InputError, "document 1 .* is empty"),
        ("sort", ["a", 3], None, TypeError, "document 1 .* expected a string, got int"),
        ("sort", ["a", "b"], 3, InputError, "k=3 with 2 documents"),
        ("sort", ["a", "b"], 0, InputError, "k=0 with 2 documents"),
    ],
)
def test_bad_requests(
    tiny_bundle: Bundles, kind: str, query: Any, documents: Any, k: int | None, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        deploy.load(tiny_bundle(kind), threads=1).rerank(query, documents, k=k)


@pytest.mark.parametrize(
    ("queries", "documents", "error", "message"),
    [
        ("sort", ["a"], TypeError, "query: expected a sequence"),
        (["sort"], "a", TypeError, "documents: expected a sequence"),
        (["sort"], ["a", "b"], InputError, "got 1 and 2"),
        ([], [], InputError, "no query given"),
    ],
)
def test_bad_pairs(tiny_bundle: Bundles, queries: Any, documents: Any, error: type[Exception], message: str) -> None:
    model = deploy.load(tiny_bundle("interaction"), threads=1)
    assert isinstance(model, deploy.CrossEncoder)
    with pytest.raises(error, match=message):
        model.score(queries, documents)

from __future__ import annotations

import pytest

from rankgrad._checks import InputError
from rankgrad.data import Collection, Texts, hold_out
from rankgrad.data.datamodule import ListDataModule
from rankgrad.retrieve import BM25
from rankgrad.training import BM25Negatives

TEXTS = ("sort a list of numbers", "sort a list", "open a file", "read numbers from a file", "a date", "list the files")


@pytest.fixture
def collection() -> Collection:
    documents = Texts(tuple("abcdef"), TEXTS)
    queries = Texts(("q1", "q2", "q3"), ("sort numbers", "open files", "list of numbers"))
    return Collection(
        "c", documents, queries, {"train": {"q1": {"a": 1}, "q3": {"b": 1, "a": 0}}, "test": {"q2": {"c": 1}}}
    )


@pytest.mark.parametrize(("split", "queries"), [("train", ["q1", "q3"]), ("test", ["q2"])])
def test_the_ranking_is_bm25s(collection: Collection, split: str, queries: list[str]) -> None:
    run = BM25Negatives(depth=4, k1=0.9, b=0.4)(collection, split)
    assert list(run) == queries
    bm25 = BM25(TEXTS, k1=0.9, b=0.4)
    for query, found in run.items():
        ranking = bm25([collection.queries.text(query)], k=4)
        expected = ["abcdef"[row] for row in ranking.ids[0][ranking.mask[0]].tolist()]
        assert list(found) == expected
        assert list(found.values()) == pytest.approx(ranking.scores[0][ranking.mask[0]].tolist())


def test_a_small_collection_is_ranked_whole(collection: Collection) -> None:
    assert max(map(len, BM25Negatives(depth=100)(collection, "train").values())) <= len(TEXTS)


def test_the_data_module_draws_hard_negatives_from_it(collection: Collection) -> None:
    data = ListDataModule(collection, candidates=BM25Negatives(depth=3), negatives=2, validation_split="test")
    data.prepare_lists()
    found = BM25Negatives(depth=3)(collection, "train")
    for index, query in enumerate(["q1", "q3"]):
        drawn = data.train_lists[0, index]
        hard = {collection.documents.text(name) for name in found[query]}
        assert set(drawn.documents[1:]) <= hard - {drawn.documents[0]}


@pytest.mark.parametrize(
    ("call", "message"),
    [(lambda c: BM25Negatives(depth=0), "depth=0"), (lambda c: BM25Negatives()(c, "dev"), "no split 'dev'")],
)
def test_wrong_input(collection: Collection, call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(collection)


def test_held_out_queries_get_candidates_too(collection: Collection) -> None:
    split = hold_out(collection, share=0.5)
    assert set(BM25Negatives()(split, "validation")) == set(split.qrels["validation"])

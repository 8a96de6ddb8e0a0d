from __future__ import annotations

import pytest
import torch

from rankgrad._checks import InputError
from rankgrad.data import CandidateList, Collection, Task, Texts
from rankgrad.types import Ranking


@pytest.fixture
def task() -> Task:
    documents = Texts(tuple("abcde"), tuple("ABCDE"))
    queries = Texts(("q1", "q2"), ("one", "two"))
    return Task("t", documents, queries, {"q1": {"a": 1, "c": 3, "e": -1}, "q2": {"b": 2}})


@pytest.fixture
def ranking() -> Ranking:
    ids = torch.tensor([[2, 4, 1], [1, 0, -1]])
    scores = torch.tensor([[3.0, 2.5, 1.0], [0.5, 0.25, -torch.inf]])
    return Ranking(ids, scores, ids >= 0)


def test_a_ranking_gets_its_grades(task: Task, ranking: Ranking) -> None:
    assert task.labels(ranking).tolist() == [[3.0, 0.0, 0.0], [2.0, 0.0, 0.0]]
    assert task.judged().tolist() == [[3.0, 1.0, 0.0], [2.0, 0.0, 0.0]]
    assert task.labels(ranking).dtype == task.judged().dtype == torch.float32


def test_a_run_names_what_was_found(task: Task, ranking: Ranking) -> None:
    assert task.run(ranking) == {"q1": {"c": 3.0, "e": 2.5, "b": 1.0}, "q2": {"b": 0.5, "a": 0.25}}


@pytest.mark.parametrize(("n", "size"), [(1, 1), (2, 2), (9, 2)])
def test_a_sample_keeps_documents_and_judgements(task: Task, n: int, size: int) -> None:
    sample = task.sample(n, seed=3)
    assert len(sample.queries) == size
    assert sample.documents is task.documents
    assert sample.qrels == {query: task.qrels[query] for query in sample.queries.ids}
    assert sample.queries == task.sample(n, seed=3).queries


def test_samples_differ_by_seed(small: Collection) -> None:
    train = small.task("train")
    assert len({train.sample(10, seed=seed).queries.ids for seed in range(5)}) == 5


def test_a_task_holds_the_judged_queries_in_their_order(small: Collection) -> None:
    assert small.task("validation").queries.ids == tuple(f"q{row}" for row in range(40, 46))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Texts(("a", "b"), ("x",)), "got 2 ids and 1 texts"),
        (lambda: Texts(("a", "b", "a"), ("x", "y", "z")), "id 'a' occurs more than once"),
        (lambda: Texts(("a",), ("x",)).row("b"), "unknown id 'b'"),
        (lambda: CandidateList("q", (), ()), "has no documents"),
        (lambda: CandidateList("q", ("d",), (1.0, 0.0)), "labels of query 'q': got 2 for 1"),
        (lambda: CandidateList("q", ("d",), (1.0,), teacher_scores=()), "teacher_scores of query 'q': got 0 for 1"),
    ],
)
def test_records_that_contradict_themselves(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("dev", "no split 'dev': choose one of documents, empty, queries"),
        ("documents", r"documents that are not in the collection: 'x', 'y', 'z', ... \(4 in all\)"),
        ("queries", r"queries that are not in the collection: 'p' \(1 in all\)"),
        ("empty", "hold no judgement"),
    ],
)
def test_splits_that_cannot_be_used(split: str, message: str) -> None:
    qrels = {"documents": {"q": {"x": 1, "y": 1, "z": 1, "w": 0}}, "queries": {"p": {"d": 1}}, "empty": {"q": {}}}
    collection = Collection("c", Texts(("d",), ("D",)), Texts(("q",), ("Q",)), qrels)
    with pytest.raises(InputError, match=message):
        collection.task(split)


def test_a_ranking_of_other_queries_is_refused(task: Task, ranking: Ranking) -> None:
    with pytest.raises(InputError, match=r"expected \[queries=2, k\], got \[1, 3\]"):
        task.labels(Ranking(*(field[:1] for field in ranking)))


def test_only_some_splits_share_no_document_with_the_others() -> None:
    documents = Texts(("d1", "d2", "d3"), ("one", "two", "three"))
    queries = Texts(("q1", "q2"), ("first", "second"))
    collection = Collection("c", documents, queries, {"train": {"q1": {"d1": 1, "d3": 0}}, "test": {"q2": {"d2": 1}}})
    train = collection.only("train")
    assert (train.documents.ids, train.queries.ids, train.splits) == (("d1", "d3"), ("q1",), ("train",))
    assert collection.only("train", "test") == collection
    with pytest.raises(InputError, match="has no split 'dev'"):
        collection.only("dev")

from __future__ import annotations

from collections import Counter

import pytest

from rankgrad._checks import InputError
from rankgrad.data import Collection, DrawnLists, Run, Task, Texts, ranked_lists


def test_each_list_is_one_relevant_document_and_negatives_of_the_ranks(small: Collection, candidates: Run) -> None:
    lists = DrawnLists(small.task("train"), candidates, negatives=4, ranks=(3, 10))
    assert len(lists) == 40
    for index in range(40):
        one = lists[0, index]
        allowed = {small.documents.text(f"d{index + step}") for step in range(2, 10)}
        assert one.query == small.queries.text(f"q{index}")
        assert one.documents[0] == small.documents.text(f"d{index}")
        assert one.labels == (1.0, 0.0, 0.0, 0.0, 0.0)
        assert len(set(one.documents[1:])) == 4
        assert set(one.documents[1:]) <= allowed


def test_draws_depend_on_seed_epoch_and_index_alone(small: Collection, candidates: Run) -> None:
    task = small.task("train")
    one, same, other = (DrawnLists(task, candidates, seed=seed) for seed in (1, 1, 2))
    forwards = {(epoch, index): one[epoch, index] for epoch in range(3) for index in range(40)}
    assert all(same[key] == forwards[key] for key in reversed(forwards))
    changed = Counter(forwards[0, index] != forwards[1, index] for index in range(40))
    assert changed[True] > 35
    assert sum(other[key] != forwards[key] for key in forwards) > 100


def test_relevant_documents_are_never_negatives(small: Collection) -> None:
    task = Task("t", small.documents, small.queries.select(["q0"]), {"q0": {"d0": 1, "d1": 2, "d2": 0}})
    run: Run = {"q0": {"d1": 3.0, "d2": 2.0, "d0": 1.0}}
    for pool in (run, None):
        lists = DrawnLists(task, pool, negatives=98)
        for epoch in range(5):
            one = lists[epoch, 0]
            assert not {small.documents.text(name) for name in ("d0", "d1")} & set(one.documents[1:])
            assert len(one.documents) == (2 if pool else 99)
    assert {DrawnLists(task, run)[epoch, 0].labels for epoch in range(20)} == {(1.0, 0.0), (2.0, 0.0)}


def test_teacher_scores_follow_their_documents(small: Collection, candidates: Run) -> None:
    lists = DrawnLists(small.task("train"), candidates, teacher_scores=candidates)
    scores = {small.documents.text(name): score for name, score in candidates["q5"].items()}
    one = lists[0, 5]
    assert one.teacher_scores == tuple(scores[document] for document in one.documents)
    missing = {query: {} for query in candidates}
    with pytest.raises(InputError, match="teacher_scores: none for document 'd5' of query 'q5'"):
        DrawnLists(small.task("train"), candidates, teacher_scores=missing)[0, 5]


def test_ranked_lists_hold_the_best_and_all_grades(small: Collection, candidates: Run) -> None:
    shuffled = {query: dict(sorted(found.items())) for query, found in candidates.items()}
    lists = ranked_lists(small.task("validation"), shuffled, depth=5)
    assert [one.query for one in lists] == list(small.task("validation").queries.texts)
    for row, one in zip(range(40, 46), lists, strict=True):
        assert one.documents == tuple(small.documents.text(f"d{row + step}") for step in range(5))
        assert one.labels == (2.0, 1.0, 0.0, 0.0, 0.0)
        assert one.judged == (2.0, 1.0)


def test_a_query_without_candidates_counts(small: Collection) -> None:
    lists = ranked_lists(small.task("validation"), {}, depth=5)
    assert [(one.labels, one.judged) for one in lists] == [((0.0,), (2.0, 1.0))] * 6


def test_queries_without_a_negative_are_counted(small: Collection, candidates: Run) -> None:
    task = small.task("train")
    fewer = {query: found for query, found in candidates.items() if query not in ("q0", "q7")}
    with pytest.warns(UserWarning, match="small/train: 2 of 40 queries have no irrelevant document among"):
        lists = DrawnLists(task, fewer)
    assert len(lists[0, 0].documents) == 1
    many = Texts(tuple(f"q{row}" for row in range(200)), tuple(f"question {row}" for row in range(200)))
    large = Task("large", task.documents, many, {query: {"d0": 1} for query in many.ids})
    few = {query: {"d0": 2.0, "d1": 1.0} for query in many.ids[2:]}
    assert len(DrawnLists(large, few, negatives=1)[0, 0].documents) == 1  # two in 200: a warning would be an error here
    for names in (fewer, {}):
        DrawnLists(task, names, negatives=0)
    with pytest.raises(InputError, match=r"none of 40 queries has an irrelevant document among .* ranks 1 to 100"):
        DrawnLists(task, {"another query": {"d0": 1.0}})
    one = Task("t", Texts(("d",), ("D",)), Texts(("q",), ("Q",)), {"q": {"d": 1}})
    with pytest.raises(InputError, match="none of 1 queries has an irrelevant document in the collection"):
        DrawnLists(one, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": -1}, "negatives=-1"),
        ({"ranks": (0, 5)}, r"ranks=\(0, 5\)"),
        ({"ranks": (5, 4)}, r"ranks=\(5, 4\)"),
        ({"candidates": {"q0": {"x": 1.0}}}, "candidates of query 'q0': document 'x' is not in small/train"),
        ({"task": Task("t", Texts(("d",), ("D",)), Texts(("q",), ("Q",)), {"q": {"d": 0}})}, "nothing to train on"),
    ],
)
def test_draws_that_cannot_be_made(small: Collection, options: dict, message: str) -> None:
    task, candidates = options.pop("task", small.task("train")), options.pop("candidates", None)
    with pytest.raises(InputError, match=message):
        DrawnLists(task, candidates, **options)


def test_a_depth_of_nothing_is_refused(small: Collection, candidates: Run) -> None:
    with pytest.raises(InputError, match="depth=0"):
        ranked_lists(small.task("validation"), candidates, depth=0)

"""Mined negatives: what each filter leaves out, and files that appear whole and go on where they stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rankgrad._checks import InputError
from rankgrad.data import Run, Task, Texts, read_lists, read_triples
from rankgrad.training import HardNegatives, NegativeFilter, RetrievedCandidates, mine_to_folder

DOCUMENTS = {
    "p1": "sort a list in place",
    "p2": "sort a list into a new one",
    "n1": "reverse a list",
    "n2": "sort a list in place!",
    "n3": "open a file",
    "n4": "join two strings",
    "n5": "parse a date",
    "n6": "raise an error",
    "e": " ",
}
RUN: Run = {"q": {"n1": 12.0, "p1": 10.0, "n2": 9.9, "n3": 9.6, "p2": 9.0, "n4": 8.7, "n5": 5.0, "e": 4.0, "n6": 1.0}}


def task(**qrels: dict[str, int]) -> Task:
    """One query ``q`` with the relevant documents p1 and p2, unless others are named."""
    judged = qrels or {"q": {"p1": 2, "p2": 1, "n4": 0}}
    texts = Texts(tuple(DOCUMENTS), tuple(DOCUMENTS.values()))
    return Task("t", texts, Texts(tuple(judged), tuple(f"sort a list {name}" for name in judged)), judged)


def mined(rules: NegativeFilter | None = None, **options: Any) -> Any:
    return HardNegatives(lambda task: RUN, rules=rules, **{"negatives": 9, **options})(task())[0]


class Lengths:
    """Scores a document by its length, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def score(self, queries: Any, documents: Any) -> list[float]:
        self.asked += zip(queries, documents, strict=True)
        return [float(len(text)) for text in documents]


@pytest.mark.parametrize(
    ("rules", "positive", "bound"),
    [
        (NegativeFilter(), 3.0, float("inf")),
        (NegativeFilter(), None, float("inf")),
        (NegativeFilter(margin=0.5), 3.0, 3.0 - 0.5),
        (NegativeFilter(relative_margin=0.95), 10.0, 0.95 * 10.0),
        (NegativeFilter(relative_margin=0.95), -10.0, -10.0 - 0.05 * 10.0),
        (NegativeFilter(margin=0.1, relative_margin=0.95), 10.0, 9.5),
        (NegativeFilter(margin=0.0), None, float("-inf")),
        (NegativeFilter(relative_margin=0.95), None, float("-inf")),
    ],
)
def test_the_bound_that_margins_set(rules: NegativeFilter, positive: float | None, bound: float) -> None:
    assert rules.highest_score(positive) == pytest.approx(bound)


@pytest.mark.parametrize(
    ("rules", "negatives", "dropped"),
    [
        (NegativeFilter(), ["n1", "n3", "n4", "n5", "n6"], {"judged relevant": 2, "near duplicate": 1, "empty": 1}),
        (NegativeFilter(ranks=(2, 4)), ["n3"], {"judged relevant": 1, "near duplicate": 1}),
        # The lowest positive scores 9: 0.95 of it is 8.55, and 0.25 below it 8.75.
        (NegativeFilter(relative_margin=0.95), ["n5", "n6"], {"judged relevant": 2, "margin": 4, "empty": 1}),
        (NegativeFilter(margin=0.25), ["n4", "n5", "n6"], {"judged relevant": 2, "margin": 3, "empty": 1}),
        (
            NegativeFilter(lowest=5.0, highest=9.6),
            ["n3", "n4", "n5"],
            {"judged relevant": 2, "score range": 3, "empty": 1},
        ),
        (NegativeFilter(near_duplicate=1.0, ranks=(3, 4)), ["n3"], {"near duplicate": 1}),
    ],
)
def test_each_filter(rules: NegativeFilter, negatives: list[str], dropped: dict[str, int]) -> None:
    found = mined(rules)
    assert list(found.negatives) == negatives
    assert found.dropped == dropped
    assert found.positives == ("p1", "p2")


def test_lists_hold_positives_with_their_grades_then_negatives() -> None:
    found = mined(negatives=2).candidates
    assert found.labels == (2.0, 1.0, 0.0, 0.0)
    assert found.documents == tuple(DOCUMENTS[name] for name in ("p1", "p2", "n1", "n3"))
    assert found.teacher_scores is None


def test_of_equal_texts_the_first_stays() -> None:
    texts = Texts(("p", "a", "b"), ("sort a list", "open a file", "open a file."))
    one = Task("t", texts, Texts(("q",), ("list",)), {"q": {"p": 1}})
    assert HardNegatives(lambda task: {"q": {"b": 1.0, "a": 2.0}})(one)[0].negatives == ("a",)


def test_denoising_leaves_out_what_the_model_scores_above_the_threshold() -> None:
    found = mined(NegativeFilter(denoise_above=12.0), denoiser=Lengths())
    # n1, n4 and n6 are longer than twelve letters.
    assert found.negatives == tuple(name for name in ("n1", "n3", "n4", "n5", "n6") if len(DOCUMENTS[name]) <= 12)
    assert found.dropped["denoised"] == 3


def test_the_teacher_scores_what_is_kept() -> None:
    teacher = Lengths()
    found = mined(negatives=1, teacher=teacher)
    assert found.candidates.teacher_scores == tuple(float(len(DOCUMENTS[name])) for name in ("p1", "p2", "n1"))
    assert len(teacher.asked) == 3


def test_draws_depend_on_seed_and_query_alone() -> None:
    two = task(q={"p1": 1}, r={"p1": 1})
    run = {"q": RUN["q"], "r": RUN["q"]}

    def draw(over: Task, seed: int) -> dict[str, tuple[str, ...]]:
        miner = HardNegatives(lambda task: run, negatives=3, sampling="random", seed=seed)
        return {one.query: one.negatives for one in miner(over)}

    assert draw(two, 0)["r"] == draw(task(r={"p1": 1}), 0)["r"]
    assert len({draw(two, seed)["q"] for seed in range(8)}) > 1
    assert draw(two, 3)["q"] != draw(two, 3)["r"] or draw(two, 4)["q"] != draw(two, 4)["r"]
    allowed = {"n1", "n3", "n4", "n5", "n6", "p2"}
    assert all(set(draw(two, seed)["q"]) <= allowed for seed in range(8))


def test_queries_without_a_relevant_document_are_passed_over() -> None:
    found = HardNegatives(lambda task: RUN)(task(q={"p1": 1}, r={"p1": 0}))
    assert [one.query for one in found] == ["q"]
    assert HardNegatives(lambda task: RUN)(task(q={"p1": 0})) == []


def test_a_run_is_cut_and_a_model_puts_it_in_order_with_the_positives() -> None:
    texts = task().documents
    assert list(RetrievedCandidates(texts, first_stage=RUN, depth=3)(task())["q"]) == ["n1", "p1", "n2"]
    assert RetrievedCandidates(texts, first_stage={}, depth=3)(task()) == {"q": {}}
    found = RetrievedCandidates(texts, first_stage=RUN, depth=1, reranker=Lengths())(task())["q"]
    assert list(found.items()) == [("p2", 26.0), ("p1", 20.0), ("n1", 14.0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": (5, 2)}, "ranks"),
        ({"margin": -0.1}, "margin"),
        ({"relative_margin": 1.5}, "relative_margin"),
        ({"lowest": 2.0, "highest": 1.0}, "no score lies between"),
        ({"near_duplicate": 0.0}, "near_duplicate"),
    ],
)
def test_rules_that_cannot_hold(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        NegativeFilter(**options)


def test_options_that_cannot_be_met() -> None:
    with pytest.raises(InputError, match="negatives=0"):
        HardNegatives(lambda task: RUN, negatives=0)
    with pytest.raises(InputError, match="sampling='best'"):
        HardNegatives(lambda task: RUN, sampling="best")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="denoise_above"):
        HardNegatives(lambda task: RUN, denoiser=Lengths())
    with pytest.raises(InputError, match="'d9' is not in t"):
        HardNegatives(lambda task: {"q": {"d9": 1.0}})(task())


class Stopping:
    """A source that fails when it is called for the ``last`` time, and counts the queries it was asked for."""

    def __init__(self, last: int | None = None) -> None:
        self.calls, self.last, self.asked = 0, last, []

    def __call__(self, task: Task) -> Run:
        self.calls += 1
        if self.calls == self.last:
            raise KeyboardInterrupt
        self.asked += task.queries.ids
        return dict.fromkeys(task.queries.ids, RUN["q"])


FIVE: Any = {f"q{place}": {"p1": 1, "p2": 1} if place % 2 else {"p1": 1} for place in range(5)}
SETTINGS = {"negatives": 3}


def mine(folder: Path, source: Any, **options: Any) -> Any:
    miner = HardNegatives(source, negatives=3, sampling="random", teacher=Lengths())
    return mine_to_folder(miner, task(**FIVE), folder, **{"settings": SETTINGS, "shard_size": 2, **options})


def test_a_stopped_run_goes_on_and_ends_like_one_that_was_not(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        mine(tmp_path / "stopped", Stopping(last=3))
    left = sorted(path.name for path in (tmp_path / "stopped").rglob("*") if path.is_file())
    assert left == ["000000.jsonl", "000001.jsonl", "mining.json"]
    rest, whole = Stopping(), Stopping()
    summary = mine(tmp_path / "stopped", rest)
    assert rest.asked == ["q4"]
    assert mine(tmp_path / "whole", whole) == summary
    for name in ("lists.jsonl", "triples.jsonl", "summary.json", "mining.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "whole" / "shards").exists()
    again = Stopping()
    assert mine(tmp_path / "whole", again) == summary
    assert again.asked == []
    # A summary without its lists is no result.
    (tmp_path / "whole" / "lists.jsonl").rename(tmp_path / "moved.jsonl")
    assert mine(tmp_path / "whole", again) == summary
    assert len(again.asked) == 5
    assert (tmp_path / "whole" / "lists.jsonl").read_bytes() == (tmp_path / "moved.jsonl").read_bytes()


def test_the_working_directory_is_written_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mine(Path(), Stopping())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lists.jsonl",
        "mining.json",
        "summary.json",
        "triples.jsonl",
    ]


def test_the_files_are_what_the_readers_read(tmp_path: Path) -> None:
    done: list[int] = []
    summary = mine(tmp_path, Stopping(), on_progress=done.append)
    assert done == [2, 4, 5]
    lists, triples = list(read_lists(tmp_path / "lists.jsonl")), list(read_triples(tmp_path / "triples.jsonl"))
    assert (summary.queries, summary.enough, summary.negatives, summary.triples) == (5, 5, 15, 7)
    assert (len(lists), len(triples)) == (5, 7)
    for one in (*lists, *triples):
        assert one.teacher_scores == tuple(float(len(text)) for text in one.documents)
        assert len(one.labels) == 3 + sum(label > 0 for label in one.labels)
    assert [one.documents[0] for one in triples[1:3]] == [DOCUMENTS["p1"], DOCUMENTS["p2"]]
    record = json.loads((tmp_path / "lists.jsonl").read_text().splitlines()[0])
    assert [DOCUMENTS[name] for name in record["document_ids"]] == record["documents"]


def test_blank_positives_and_half_surrogates_can_be_read_again(tmp_path: Path) -> None:
    documents = Texts(("blank", "whole", "cut"), (" ", "sort a list", "caf\ud83d"))
    asked = Task(
        "t", documents, Texts(("q", "r"), ("sort", "nothing")), {"q": {"blank": 1, "whole": 1}, "r": {"blank": 1}}
    )
    found = {"q": {"cut": 1.0}}
    summary = mine_to_folder(HardNegatives(lambda task: found), asked, tmp_path, settings={})
    assert (summary.queries, summary.triples) == (1, 1)
    for read, name in ((read_lists, "lists.jsonl"), (read_triples, "triples.jsonl")):
        assert [one.documents for one in read(tmp_path / name)] == [("sort a list", "caf\ufffd")]


def test_queries_without_enough_are_counted(tmp_path: Path) -> None:
    found = {"q0": {"n3": 1.0, "n4": 1.0, "n5": 1.0}, "q1": {"n3": 1.0}, "q2": {"p1": 1.0}}
    summary = mine(tmp_path, lambda task: found)
    assert (summary.enough, summary.too_few, summary.without, summary.negatives) == (1, 1, 3, 4)
    assert [len(one.documents) for one in read_lists(tmp_path / "lists.jsonl")] == [4, 3]


def test_a_folder_of_other_settings_is_refused_unless_overwritten(tmp_path: Path) -> None:
    mine(tmp_path, Stopping())
    with pytest.raises(InputError, match="another negatives"):
        mine(tmp_path, Stopping(), settings={"negatives": 4})
    source = Stopping()
    mine(tmp_path, source, settings={"negatives": 4}, overwrite=True)
    assert len(source.asked) == 5
    (tmp_path / "mining.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        mine(tmp_path, Stopping())
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="other files"):
        mine(tmp_path / "other", Stopping(), overwrite=True)
    with pytest.raises(InputError, match="shard_size=0"):
        mine(tmp_path / "new", Stopping(), shard_size=0)


def test_nothing_found_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none of 5 queries got a negative \(dropped: judged relevant 5\)"):
        mine(tmp_path, lambda task: {query: {"p1": 1.0} for query in task.queries.ids})
    assert not (tmp_path / "lists.jsonl").exists()

"""Systems in, a report out: values, times, modes, bad input."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from rankgrad._checks import InputError
from rankgrad.data import Task, Texts
from rankgrad.evaluation import Experiment
from rankgrad.metrics import NDCG, AverageRelevancePosition, BinaryPreference, JudgedShare, Recall, ReciprocalRank
from rankgrad.rerank import LateInteractionReranker
from rankgrad.types import PackedTokens, Queries, Ranking

Answer = Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]


def test_values_are_the_metrics_of_each_query(task: Task, answer: Answer) -> None:
    systems = {
        "right": answer(lambda i: [i, i + 1]),
        "second": answer(lambda i: [(i + 3) % 9, i]),
        "ragged": answer(lambda i: [i] if i % 2 else [(i + 4) % 9, (i + 5) % 9, i]),
        "silent": answer(lambda i: [-1]),
    }
    report = Experiment(systems, task, metrics=(NDCG(k=10), ReciprocalRank(k=10), Recall(k=2)), baseline="right").run(
        progress=False
    )
    assert report.metrics == ("nDCG@10", "MRR@10", "recall@2")
    assert [system.name for system in report.systems] == list(systems)
    # Linear gains 2 and 1: the ideal is 2 + 1 / log2(3).
    discount = {1: 1.0, 2: 1 / torch.log2(torch.tensor(3.0)).item(), 3: 0.5}
    ideal = 2 + discount[2]
    expected = {
        "right": ([1.0] * 8, [1.0] * 8, [1.0] * 8),
        "second": ([2 * discount[2] / ideal] * 8, [0.5] * 8, [0.5] * 8),
        "ragged": (
            [2 * (0.5, 1.0)[i % 2] / ideal for i in range(8)],
            [(1 / 3, 1.0)[i % 2] for i in range(8)],
            [(0.0, 0.5)[i % 2] for i in range(8)],
        ),
        "silent": ([0.0] * 8, [0.0] * 8, [0.0] * 8),
    }
    for system in report.systems:
        for metric, values in zip(report.metrics, expected[system.name], strict=True):
            assert system.values[metric] == pytest.approx(values, rel=1e-5)
    assert report.runs["ragged"]["q1"].keys() == {"d1"}
    assert list(report.runs["second"]["q0"]) == ["d3", "d0"]
    assert report.runs["silent"]["q0"] == {}
    assert len(report.comparisons) == 3 * 3


def test_what_nobody_judged_is_not_judged_irrelevant(answer: Answer) -> None:
    documents, queries = Texts(("d1", "d2", "d3"), ("a", "b", "c")), Texts(("q",), ("0",))
    task = Task("toy/test", documents, queries, {"q": {"d1": 1, "d2": 0}})
    systems = {"unjudged first": answer(lambda i: [2, 0]), "irrelevant first": answer(lambda i: [1, 0, 2])}
    metrics = (BinaryPreference(), JudgedShare(k=2), NDCG())
    report = Experiment(systems, task, metrics=metrics, baseline="unjudged first").run(progress=False)
    second = 1 / torch.log2(torch.tensor(3.0)).item()
    found = [{name: values[0] for name, values in system.values.items()} for system in report.systems]
    assert found == [
        {"bpref": 1.0, "judged@2": 0.5, "nDCG": pytest.approx(second)},
        {"bpref": 0.0, "judged@2": 1.0, "nDCG": pytest.approx(second)},
    ]


def test_the_clock_sees_each_query_of_a_warm_system(task: Task, answer: Answer) -> None:
    asked: list[str] = []
    base = answer(lambda i: [i])

    def slow(queries: Queries) -> Ranking:
        time.sleep(1.0 if not asked else 0.02 if queries[0] == "5" else 0.002)
        asked.extend(queries)
        assert len(queries) == 1
        return base(queries)

    report = Experiment({"slow": slow}, task, baseline="slow").run(progress=False)
    milliseconds = report.systems[0].milliseconds
    assert asked[3:] == list(task.queries.texts)
    assert len(milliseconds) == 8
    assert milliseconds[5] >= 20
    assert all(2 <= time_of_one < 1000 for time_of_one in milliseconds)
    latency = report.systems[0].latency()
    assert latency["p20"] <= latency["p50"] <= latency["p80"] <= max(milliseconds)


def test_modules_run_without_gradients_and_dropout_and_get_their_mode_back(task: Task, answer: Answer) -> None:
    class Stage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout()
            self.seen: set[tuple[bool, bool]] = set()

        def forward(self, queries: Queries) -> Ranking:
            self.seen.add((self.dropout.training, torch.is_grad_enabled()))
            return answer(lambda i: [i])(queries)

    stage = Stage().train()
    Experiment({"stage": stage}, task, baseline="stage").run(progress=False)
    assert stage.seen == {(False, False)}
    assert stage.dropout.training


def test_collections_are_encoded_beforehand(task: Task, answer: Answer) -> None:
    class Encoder:
        def encode_queries(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.ones(len(texts), 1, 2), torch.ones(len(texts), 1, dtype=torch.bool)

        def encode_documents(self, texts: list[str]) -> PackedTokens:
            return PackedTokens(torch.ones(len(texts), 2), torch.arange(len(texts) + 1, dtype=torch.int32))

    class Cascade(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.late = LateInteractionReranker(Encoder(), task.documents.texts)
            self.ready: list[bool] = []

        def forward(self, queries: Queries) -> Ranking:
            self.ready.append(self.late.embeddings is not None)
            return self.late(queries, answer(lambda i: [i, i + 1])(queries))

    cascade = Cascade()
    report = Experiment({"cascade": cascade}, task, baseline="cascade").run(progress=False)
    assert all(cascade.ready)
    # All scores are equal, and the greatest id is the document of grade 1.
    discount = 1 / torch.log2(torch.tensor(3.0)).item()
    assert report.systems[0].mean("nDCG@10") == pytest.approx((1 + 2 * discount) / (2 + discount))


def test_progress_goes_to_stderr(task: Task, answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    Experiment({"only": answer(lambda i: [i])}, task, baseline="only").run(progress=True)
    captured = capsys.readouterr()
    assert "only" in captured.err
    assert "8/8" in captured.err
    assert captured.out == ""


def build(**change: Any) -> Callable[[Task, Answer], object]:
    def call(task: Task, answer: Answer) -> object:
        settings = {"systems": {"a": answer(lambda i: [i])}, "task": task, "baseline": "a", **change}
        return Experiment(**settings).run(progress=False)

    return call


EMPTY = Task("nothing/test", Texts(("d",), ("text",)), Texts((), ()), {})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (build(baseline="b"), InputError, "baseline='b' is no system: choose one of 'a'"),
        (build(task=EMPTY), InputError, "task 'nothing/test' has no queries"),
        (build(metrics=()), InputError, "no metrics given"),
        (build(metrics=(AverageRelevancePosition(),)), InputError, "metric 'ARP' decides, and lower is better"),
        (build(metrics=(NDCG(k=5), NDCG(k=5))), InputError, "metric 'nDCG@5' occurs twice"),
        (build(systems={"a": print, "a ": print}), InputError, "system 'a' occurs twice"),
        (
            build(systems={"a": lambda queries: None}),
            TypeError,
            "system 'a' gave NoneType: return a rankgrad.types.Rank",
        ),
    ],
)
def test_bad_input(
    call: Callable[[Task, Answer], object], error: type[Exception], message: str, task: Task, answer: Answer
) -> None:
    with pytest.raises(error, match=message):
        call(task, answer)

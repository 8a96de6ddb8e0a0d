"""Names of systems, collections and features are text: neither markup of a terminal nor mathematics of a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from rankgrad.data import FeatureTable, Task
from rankgrad.evaluation import Experiment, Study, permutation_importance, plot_importance
from rankgrad.evaluation.pictures import pictures
from rankgrad.metrics import NDCG, AverageRelevancePosition
from rankgrad.types import Queries, Ranking

Answer = Callable[[Callable[[int], list[int]]], Callable[[Queries], Ranking]]
NAMES = ("BM25 [tuned]", "x[/b]", r"a $\x$")


def printed(table: object) -> str:
    console = Console(width=200, record=True, force_terminal=False, file=io.StringIO())
    console.print(table)
    return " ".join(console.export_text().split())


@pytest.fixture
def hostile(task: Task) -> Task:
    return replace(task, name=r"toy[/i] $\y$")


def test_tables_show_names_as_they_are(hostile: Task, answer: Answer) -> None:
    systems = {name: answer(lambda i: [i]) for name in NAMES}
    report = Experiment(systems, hostile, baseline=NAMES[0]).run(progress=False)
    shown = printed(report.table())
    assert all(name in shown for name in NAMES)
    assert rf"{hostile.name}: 8 queries" in shown
    assert "difference to BM25 [tuned], bootstrap" in shown
    study = Study(lambda task: systems, [hostile], baseline=NAMES[0]).run(progress=False)
    assert "differs from BM25 [tuned] at 5%" in printed(study.table())


def test_pictures_show_names_as_they_are(hostile: Task, answer: Answer, tmp_path: Path) -> None:
    systems = {name: answer(lambda i: [i]) for name in NAMES}
    report = Experiment(systems, hostile, baseline=NAMES[0]).run(progress=False)
    assert all(content.startswith(b"\x89PNG") for content in pictures(report).values())
    rows = torch.eye(3)
    table = FeatureTable(rows, torch.tensor([2.0, 1.0, 0.0]), torch.tensor([0, 3]), ("q",))
    importance = permutation_importance(lambda lists: lists.features[..., 0], table, names=NAMES, repeats=1)
    plot_importance(importance, tmp_path / "importance.png", title=r"of $\z$")
    assert (tmp_path / "importance.png").is_file()


def test_the_lowest_is_best_where_lower_is_better(task: Task, answer: Answer) -> None:
    systems = {"first": answer(lambda i: [i, i + 1]), "last": answer(lambda i: [(i + 3) % 9, (i + 4) % 9, i])}
    metrics = (NDCG(k=10), AverageRelevancePosition())
    report = Experiment(systems, task, metrics=metrics, baseline="first").run(progress=False)
    means = [system.mean("ARP") for system in report.systems]
    assert means[0] < means[1]
    cells = list(report.table().columns[2].cells)
    assert cells == [f"[bold]{means[0]:.4f}[/bold]", f"{means[1]:.4f}"]

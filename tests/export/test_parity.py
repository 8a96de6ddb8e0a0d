"""Parity is measured on shapes that break exports, and a disagreement is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rankgrad import deploy
from rankgrad.export import ParityError, measured
from rankgrad.export.parity import (
    ScoreParity,
    _relative,
    check_shapes,
    compare_scores,
    kendall_tau,
    relative_difference,
)
from rankgrad.export.probe import Shape, probe_lists, random_tokens, shapes
from rankgrad.export.subjects import subject_of

SCORES = st.lists(st.integers(-3, 3), min_size=2, max_size=12)


@given(
    st.integers(2, 12).flatmap(
        lambda size: st.tuples(*[st.lists(st.integers(-3, 3), min_size=size, max_size=size)] * 2)
    )
)
def test_kendall_tau_is_scipys(both: tuple[list[int], list[int]]) -> None:
    first, second = (np.array(scores, dtype=np.float32) for scores in both)
    expected = scipy.stats.kendalltau(first, second).statistic
    if np.isnan(expected):
        assert kendall_tau(first, second) == float(np.ptp(first) == np.ptp(second) == 0)
    else:
        assert kendall_tau(first, second) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("expected", "got", "difference"),
    [
        ([0.5, -0.25], [0.5, -0.5], 0.25),
        ([10.0, 0.0], [10.0, 1.0], 0.1),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([1.0, 1.0], [np.nan, 1.0], np.inf),
        ([1.0, 1.0], [[1.0, 1.0]], np.inf),
    ],
)
def test_relative_difference(expected: list[float], got: Any, difference: float) -> None:
    assert relative_difference(np.array(expected), np.array(got)) == pytest.approx(difference)


@pytest.mark.parametrize("longest", [24, 180, 512])
def test_shapes_cover_what_breaks(longest: int) -> None:
    found = shapes(longest)
    assert {1} < {shape.batch for shape in found}
    assert {shape.tokens for shape in found} >= {3, longest}
    assert any(shape.padding > 0.8 * shape.tokens for shape in found)
    assert any(shape.batch % 2 and shape.tokens % 2 and shape.batch > 1 for shape in found)
    assert max(shape.tokens for shape in found) == longest


def test_random_tokens_have_the_shape(tiny_ranker: Callable[[str], Any]) -> None:
    tokens = random_tokens(tiny_ranker("mean").tokenizer, Shape(3, 9, padding=4))
    assert tokens.lengths.tolist() == [9, 5, 5]
    assert tokens.token_type_ids.tolist()[1] == [0, 1, 1, 1, 1, 0, 0, 0, 0]
    assert (tokens.input_ids[1:, 5:] == tiny_ranker("mean").tokenizer.pad_id).all()


@pytest.mark.parametrize("kind", ["interaction", "colbert"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found + 0.01, r"disagrees with torch at Shape\(batch=1, tokens=3"),
        (lambda found: found * np.nan, "relative difference inf"),
        (lambda found: found[:, :1, ..., None], "outputs"),
        (lambda found: found if len(found) == 1 else found[::-1], r"disagrees with torch at Shape\(batch=2"),
    ],
)
def test_a_graph_that_disagrees_is_an_error(
    tiny_ranker: Callable[[str], Any], tiny_bundle: Callable[[str], Path], kind: str, change: Any, message: str
) -> None:
    graph = deploy.load(tiny_bundle(kind), threads=1).graph
    wrong: Any = lambda tokens: change(graph(tokens))  # noqa: E731
    with pytest.raises(ParityError, match=message):
        check_shapes(tiny_ranker(kind), wrong, tolerance=1e-4)
    found = check_shapes(tiny_ranker(kind), graph, tolerance=1e-4)
    assert max(each.difference for each in found) < 1e-5


class Widened:
    """A reranking graph whose scores grow with the columns of the documents."""

    def __init__(self, graph: deploy.Graph) -> None:
        self.graph, self.batch_size = graph, graph.batch_size

    def __call__(self, rows: Any) -> np.ndarray:
        return self.graph(rows) + 0.01 * rows.document_input_ids.shape[1]


def test_padding_is_measured_of_a_colbert_in_one_graph(
    kind_model: Callable[[str], Any], kind_bundle: Callable[[str], Path]
) -> None:
    subject = subject_of(kind_model("reranker"), one_graph=True)
    exported: Any = deploy.load(kind_bundle("reranker"), threads=1)
    documents = ["a date", "open a file and read its lines", "list"]
    assert compare_scores(subject, exported, [("sort", documents)]).padding_dependence < 1e-5
    exported.graph = Widened(exported.graph)
    lengths = exported.tokenizer.documents(documents).lengths
    found = compare_scores(subject, exported, [("sort", documents)])
    assert found.padding_dependence == pytest.approx(0.01 * (lengths.max() - lengths.min()), abs=1e-5)
    assert found.relative_difference > 0.01


@pytest.mark.parametrize(("most", "difference"), [(False, 0.5), (True, 0.0)])
def test_a_term_that_rounding_drops_is_no_fault(most: bool, difference: float) -> None:
    expected = np.linspace(-1, 1, 20)
    got = expected.copy()
    got[7] += 0.5
    assert _relative(expected, got, most=most) == pytest.approx(difference)
    got[8] = np.nan
    assert _relative(expected, got, most=most) == np.inf


def test_orders_with_documents_that_score_nothing() -> None:
    scores = np.array([1.0, -np.inf, -np.inf, 2.0])
    assert kendall_tau(scores, scores) == 1.0


def test_the_built_in_texts_differ_in_length() -> None:
    lengths = [len(document.split()) for _, documents in probe_lists() for document in documents]
    assert len(lengths) == 60
    assert min(lengths) < 6 < 50 < max(lengths)


def test_an_agreement_that_rounding_put_below_its_bound_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    taus = iter([0.7999999999999999, 0.79])
    found = ScoreParity(0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
    monkeypatch.setattr(measured, "compare_scores", lambda *_: found._replace(kendall_tau=next(taus)))
    model: Any = None
    opened: Any = {"int8": None}
    measured.compare_variants(model, opened, [], tolerance=1e-5, rank_agreement=0.8)
    with pytest.raises(ParityError, match="the int8 graph ranks otherwise than torch"):
        measured.compare_variants(model, opened, [], tolerance=1e-5, rank_agreement=0.8)

"""Ties, gains and empty lists as each library takes them; several metrics of lists sorted once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from rankgrad import metrics
from rankgrad._checks import InputError
from rankgrad.metrics import _lists, _order
from rankgrad.ops import soft_rank

SCORES = torch.tensor([0.5, 0.5, 0.9, 0.5])
LABELS = torch.tensor([1, 0, 0, 2])
AVERAGED = [
    partial(metrics.dcg, k=2, gain="exp2"),
    partial(metrics.ndcg, k=3),
    partial(metrics.precision, k=2),
    partial(metrics.recall, k=3),
    partial(metrics.f_measure, k=2),
    partial(metrics.success, k=2),
    metrics.reciprocal_rank,
    partial(metrics.reciprocal_rank, k=2),
    metrics.average_precision,
    partial(metrics.average_precision, k=3),
    metrics.r_precision,
    metrics.rank_biased_precision,
    metrics.rank_biased_residual,
    partial(metrics.judged_share, k=2),
    metrics.average_relevance_position,
]
UNTIED = [metrics.expected_reciprocal_rank, metrics.binary_preference, metrics.inferred_average_precision]
NO_AVERAGE = {"ExpectedReciprocalRank", "BinaryPreference", "InferredAveragePrecision", "InterpolatedPrecision"}
TAKE_MORE = {"AlphaNDCG", "IntentAwareERR", "IntentAwarePrecision", "RankBiasedOverlap"}


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 2)), min_size=2, max_size=5))
def test_averaged_ties_are_the_mean_over_all_orders(items: list[tuple[int, int]]) -> None:
    scores, labels = (torch.tensor(column).double() for column in zip(*items, strict=True))
    orders = torch.tensor(list(permutations(range(len(items)))))
    for metric in AVERAGED:
        expected = metric(scores[orders], labels[orders]).mean()
        assert_close(metric(scores, labels, ties="average"), expected)
        masked = metric(
            torch.cat([scores, scores[:1]]),
            torch.cat([labels, labels[:1]]),
            torch.arange(len(items) + 1) < len(items),
            ties="average",
        )
        assert_close(masked, expected)


@pytest.mark.parametrize("metric", [*AVERAGED, *UNTIED])
def test_trec_ranks_the_greatest_id_first_among_equals(metric: Callable[..., Tensor]) -> None:
    ids = torch.tensor([3, 1, 0, 2])
    found = metric(SCORES, LABELS, ties="trec", tie_order=ids)
    assert_close(found, metric(SCORES + ids / 1000, LABELS))
    in_order = torch.tensor([2, 0, 3, 1])
    assert_close(found, metric(SCORES[in_order], LABELS[in_order]))


@pytest.mark.parametrize("metric", UNTIED)
def test_what_has_no_mean_in_closed_form_says_so(metric: Callable[..., Tensor]) -> None:
    with pytest.raises(InputError, match=r'ties="average": .* has no closed form'):
        metric(SCORES, LABELS, ties="average")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ties": "random"}, 'ties: expected "stable", "average" or "trec"'),
        ({"ties": "trec"}, 'tie_order: ties="trec" ranks the greatest document id first'),
        ({"ties": "trec", "tie_order": torch.arange(3)}, r"tie_order: expected the shape of scores \[4\], got \[3\]"),
        ({"ties": "average", "ranker": partial(soft_rank, temperature=1.0)}, "a ranker of your own has its own rule"),
    ],
)
def test_rules_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        metrics.ndcg(SCORES, LABELS, **options)


def test_presets_are_the_libraries_rules() -> None:
    assert metrics.TREC.graded == {"gain": "linear", "ties": "trec", "empty": 0.0}
    assert metrics.RAX.graded == {"gain": "exp2", "ties": "stable", "empty": 0.0}
    assert metrics.LIGHTGBM.binary == {"ties": "stable", "empty": 1.0}
    empty = torch.zeros_like(LABELS)
    assert float(metrics.NDCG(**metrics.LIGHTGBM.graded)(SCORES, empty)) == 1
    assert float(metrics.AveragePrecision(**metrics.RAX.binary)(SCORES, empty)) == 0


@pytest.mark.parametrize("k", [None, 2, 5])
def test_sklearns_ndcg(k: int | None) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    scores = torch.randint(0, 3, (20, 7)).double()
    labels = torch.randint(0, 4, (20, 7))
    found = metrics.ndcg(scores, labels, k=k, **metrics.SKLEARN.graded)
    expected = [sklearn.ndcg_score(label[None], score[None], k=k) for label, score in zip(labels, scores, strict=True)]
    assert_close(found, torch.tensor(expected).double())
    found = metrics.dcg(scores, labels, k=k, ties="average")
    expected = [sklearn.dcg_score(label[None], score[None], k=k) for label, score in zip(labels, scores, strict=True)]
    assert_close(found, torch.tensor(expected).double())


def test_torchmetrics() -> None:
    retrieval = pytest.importorskip("torchmetrics.functional.retrieval")
    for scores, labels in zip(torch.rand(10, 8), torch.randint(0, 2, (10, 8)), strict=True):
        for ours, theirs in (
            (partial(metrics.reciprocal_rank, k=3), partial(retrieval.retrieval_reciprocal_rank, top_k=3)),
            (partial(metrics.recall, k=3), partial(retrieval.retrieval_recall, top_k=3)),
            (partial(metrics.precision, k=3), partial(retrieval.retrieval_precision, top_k=3)),
            (partial(metrics.success, k=3), partial(retrieval.retrieval_hit_rate, top_k=3)),
            (metrics.r_precision, retrieval.retrieval_r_precision),
            (metrics.average_precision, retrieval.retrieval_average_precision),
        ):
            assert_close(ours(scores, labels), theirs(scores, labels))


def test_scores_below_zero_rank_like_others_which_torchmetrics_average_precision_takes_for_irrelevant() -> None:
    retrieval = pytest.importorskip("torchmetrics.functional.retrieval")
    scores, labels = torch.tensor([0.9, 0.6, 0.3]), torch.tensor([1, 0, 1])
    assert float(metrics.average_precision(scores - 1, labels)) == pytest.approx((1 + 2 / 3) / 2)
    assert float(retrieval.retrieval_average_precision(scores, labels)) == pytest.approx((1 + 2 / 3) / 2)
    assert float(retrieval.retrieval_average_precision(scores - 1, labels)) == 0


# The others take topics, or a second ranking in place of labels.
TAKE_ONE_LABEL = [
    kind
    for kind in vars(metrics).values()
    if isinstance(kind, type) and issubclass(kind, torch.nn.Module) and kind.__name__ not in TAKE_MORE
]


def modules(ties: str) -> list[Any]:
    """Every metric with this rule, of whole lists and cut where it can be; with "stable" those without a rule too."""
    found = []
    for kind in TAKE_ONE_LABEL:
        options = signature(kind).parameters
        if "ties" not in options and ties == "stable":
            found.append(kind())
        if "ties" in options and not (ties == "average" and kind.__name__ in NO_AVERAGE):
            found += [kind(**cut, ties=ties) for cut in ([{}, {"k": 3}] if "k" in options else [{}])]
    return found


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_measured_together_and_in_runs_is_measured_alone(
    monkeypatch: pytest.MonkeyPatch, masked: bool, dtype: torch.dtype
) -> None:
    scores, labels = torch.randint(-5, 5, (3, 4, 12)).to(dtype), torch.randint(-2, 4, (3, 4, 12))
    scores[0, 0, 0], scores[0, 1, 3], scores[1, 0, 4], scores[1, 1, 2] = -torch.inf, torch.inf, -0.0, torch.nan
    mask, judged = torch.rand(3, 4, 12) < 0.8 if masked else None, torch.randint(-1, 4, (3, 4, 15))
    tie_order = torch.randperm(12).expand(3, 4, -1)
    for ties, order in (("stable", None), ("average", None), ("trec", tie_order)):
        chosen, options = modules(ties), {"judged": judged, "tie_order": order}
        alone = {module.name: module(scores, labels, mask, **options) for module in chosen}
        with monkeypatch.context() as patched:
            patched.setattr(_lists, "_ITEMS", 30)
            assert_close(metrics.measure_lists(chosen, scores, labels, mask, **options), alone, equal_nan=True)
            found = {module.name: module(scores, labels, mask, **options) for module in chosen}
        assert_close(found, alone, equal_nan=True)


def test_an_order_breaks_no_ties_of_those_to_whom_tied_items_are_equals() -> None:
    chosen = [metrics.KendallTau(), metrics.Spearman(), metrics.OrderedPairAccuracy()]
    found = metrics.measure_lists(chosen, torch.tensor([[1.0, 1.0]]), torch.tensor([[1, 0]]))
    assert [float(value) for value in found.values()] == [0.0, 0.0, 0.0]


def test_measuring_nothing_or_two_of_a_name() -> None:
    with pytest.raises(InputError, match="metrics: expected at least one"):
        metrics.measure_lists([], SCORES, LABELS)
    with pytest.raises(InputError, match="two have the same name: MAP, MAP"):
        metrics.measure_lists([metrics.AveragePrecision(), metrics.AveragePrecision(empty=1.0)], SCORES, LABELS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("first", [None, 1, 4, 50])
def test_orders_of_keys_are_those_of_a_stable_sort(
    monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, first: int | None
) -> None:
    scores = torch.randint(-5, 5, (50, 11)).to(dtype) * 1e-30
    scores[::3] *= 1e60 if dtype == torch.float64 else 1e35
    mask = torch.rand(50, 11) < 0.7
    fast = _order.ranked_order(scores, mask, first=first), _order.descending(scores, first)
    monkeypatch.setattr(_order, "readable", lambda x: False)
    slow = _order.ranked_order(scores, mask, first=first), _order.descending(scores, first)
    assert_close(fast[1], slow[1])
    real = mask.gather(-1, slow[0])
    assert (real == mask.gather(-1, fast[0])).all()
    assert (fast[0] == slow[0])[real].all()


def test_a_hard_metric_may_be_mapped_over_lists() -> None:
    scores, labels = torch.randn(3, 6), torch.randint(0, 3, (3, 6))
    assert_close(torch.func.vmap(partial(metrics.ndcg, k=3))(scores, labels), metrics.ndcg(scores, labels, k=3))

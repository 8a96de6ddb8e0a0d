"""Metrics over batches and processes."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from rankgrad._checks import InputError
from rankgrad.metrics import NDCG, ReciprocalRank, ndcg
from rankgrad.training.list_metrics import ListMetrics

SCORES = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 3, (6, 5), generator=torch.Generator().manual_seed(1))


def meter() -> ListMetrics:
    return ListMetrics([NDCG(k=3, empty="skip"), ReciprocalRank()])


def test_batches_are_put_together_and_the_skipped_left_out() -> None:
    labels = LABELS.clone()
    labels[2] = 0
    found = meter()
    for rows in (slice(0, 2), slice(2, 5), slice(5, 6)):
        found.update(SCORES[rows], labels[rows])
    expected = ndcg(SCORES, labels, k=3, empty="skip")
    assert_close(found.per_query()["nDCG@3"], expected, equal_nan=True)
    assert_close(found.compute()["nDCG@3"], expected.nanmean())
    found.reset()
    found.update(SCORES[:1], LABELS[:1])
    assert found.per_query()["MRR"].shape == (1,)
    assert found.ids().tolist() == [-1]


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_a_process_without_queries_takes_part() -> None:
    """What it sends has the kind and the axes of what it receives, as gathering needs."""
    others, found = meter(), meter()
    others.update(SCORES, LABELS, ids=torch.arange(6))
    theirs = iter([getattr(others, name)[0] for name in ("values_0", "values_1", "query_ids")])

    def gather(own: torch.Tensor, group: object = None) -> list[torch.Tensor]:
        other = next(theirs)
        assert (own.dtype, own.shape) == (other.dtype, (0,))
        return [own, other]

    found.distributed_available_fn = lambda: True
    found.dist_sync_fn = gather
    assert_close(found.compute()["nDCG@3"], ndcg(SCORES, LABELS, k=3, empty="skip").nanmean())


def test_a_query_that_a_sampler_repeats_counts_once() -> None:
    parts = [torch.tensor([0, 2, 4]), torch.tensor([5, 1, 3, 0])]
    others, found = meter(), meter()
    for one, rows in zip((found, others), parts, strict=True):
        one.update(SCORES[rows], LABELS[rows], ids=rows)
    theirs = iter([getattr(others, name)[0] for name in ("values_0", "values_1", "query_ids")])
    found.distributed_available_fn = lambda: True
    found.dist_sync_fn = lambda own, group=None: [own, next(theirs)]
    assert_close(found.compute()["nDCG@3"], ndcg(SCORES, LABELS, k=3, empty="skip").nanmean())
    assert found.ids().tolist() == [0, 2, 4], "outside of compute a process has its own"


@pytest.mark.parametrize(
    ("ids", "message"),
    [(torch.tensor([1]), "ids: expected one a query, 2, got 1"), (None, "ids: given for some batches")],
)
def test_ids_that_do_not_fit(ids: torch.Tensor | None, message: str) -> None:
    found = meter()
    found.update(SCORES[:2], LABELS[:2], ids=torch.tensor([4, 5]))
    with pytest.raises(InputError, match=message):
        found.update(SCORES[:2], LABELS[:2], ids=ids)

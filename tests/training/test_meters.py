from __future__ import annotations

import pytest
import torch

from rankgrad.metrics import NDCG
from rankgrad.training.meters import PerQuery


def test_the_mean_is_over_queries_not_over_batches() -> None:
    meter = PerQuery()
    meter.update(torch.tensor([1.0, 1.0, 1.0]))
    meter.update(torch.tensor([0.0]))
    assert meter.compute() == 0.75
    assert meter.per_query().tolist() == [1.0, 1.0, 1.0, 0.0]


def test_queries_left_out_of_a_metric_are_left_out_of_the_mean() -> None:
    metric, meter = NDCG(k=10, empty="skip"), PerQuery()
    scores, labels = torch.tensor([[2.0, 1.0]] * 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    meter.update(metric(scores, labels))
    assert meter.compute() == 1.0
    meter.reset()
    meter.update(metric(scores[1:], labels[1:]))
    assert meter.compute().isnan()


def test_reset_forgets() -> None:
    meter = PerQuery()
    meter.update(torch.tensor([1.0]))
    meter.reset()
    meter.update(torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True))
    assert meter.compute().dtype is torch.float32
    assert meter.per_query().tolist() == [0.5]
    assert not meter.per_query().requires_grad


@pytest.mark.parametrize("others", [[0.25], [0.25, 1.0, 0.0], []], ids=len)
def test_the_mean_is_over_the_queries_of_all_processes(others: list[float]) -> None:
    meter = PerQuery()
    meter.update(torch.tensor([1.0, 0.0]))
    meter.update(torch.tensor([0.5]))
    meter.distributed_available_fn = lambda: True
    meter.dist_sync_fn = lambda own, group=None: [own, torch.tensor(others)]
    values = [1.0, 0.0, 0.5, *others]
    assert meter.compute().item() == pytest.approx(sum(values) / len(values))
    assert meter.per_query().tolist() == [1.0, 0.0, 0.5], "outside of compute a process has its own"

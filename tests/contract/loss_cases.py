"""The rows of losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from contract_case import Case, soft
from torch import Tensor

from rankgrad import losses, metrics


def loss_case(function: Callable[..., Tensor], **options: Any) -> Case:
    return Case(function.__name__, function, partial(function, **{"reduction": "none", **options}), reduces=True)


CASES = [
    loss_case(losses.softmax_loss, temperature=0.5),
    loss_case(losses.info_nce_loss, temperature=0.5),
    loss_case(losses.margin_mse_loss),
    loss_case(losses.kl_distill_loss, temperature=2.0),
    loss_case(losses.metric_loss, metric=metrics.reciprocal_rank, ranker=soft),
    loss_case(losses.approx_ndcg_loss, temperature=0.7, k=3),
]

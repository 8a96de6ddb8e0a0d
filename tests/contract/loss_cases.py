"""The rows of losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from contract_case import Case, soft
from torch import Tensor

from rankgrad import losses, metrics


def loss_case(function: Callable[..., Tensor], name: str = "", **options: Any) -> Case:
    call = partial(function, **{"reduction": "none", **options})
    return Case(f"{function.__name__}{name and '-'}{name}", function, call, reduces=True)


def weighted_case(function: Callable[..., Tensor], **options: Any) -> Case:
    """Items of higher labels weigh more, so that weights move with their items."""

    def call(x: Tensor, labels: Tensor, mask: Tensor, **given: Any) -> Tensor:
        return function(x, labels, mask, weights=labels / 2 + 0.5, **{"reduction": "none", **options, **given})

    return Case(f"{function.__name__}-weights", function, call, reduces=True)


def probabilities(x: Tensor, labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    return losses.pointwise_bce_loss(x, labels / 3, mask, **{"reduction": "none", **options})


def ordinal(x: Tensor, labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    thresholds = torch.arange(3, device=x.device) * 0.6 - 0.5
    return losses.ordinal_loss(x, labels, mask, **{"reduction": "none", "thresholds": thresholds, **options})


def cascade(x: Tensor, labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """Two stages, the second of which knows the labels."""
    return losses.lcron_loss(
        torch.stack([x, labels.to(x.dtype)]), labels, mask, **{"reduction": "none", "k": (2, 1), **options}
    )


def sampled(x: Tensor, labels: Tensor, mask: Tensor, **options: Any) -> Tensor:
    """Noise that goes where its items go."""
    values = x.detach().to(torch.promote_types(x.dtype, torch.float32))
    noise = torch.stack([(37 * values).sin(), (91 * values).cos()])
    return losses.plackett_luce_loss(x, labels, mask, **{"reduction": "none", "noise": noise, "k": 3, **options})


CASES = [
    loss_case(losses.softmax_loss, temperature=0.5),
    weighted_case(losses.softmax_loss),
    loss_case(losses.poly1_softmax_loss, epsilon=2.0),
    loss_case(losses.info_nce_loss, temperature=0.5),
    loss_case(losses.info_nce_loss, "filter", filter_margin=0.3),
    weighted_case(losses.info_nce_loss),
    loss_case(losses.margin_mse_loss),
    weighted_case(losses.margin_mse_loss),
    loss_case(losses.constant_margin_mse_loss, margin=2.0),
    loss_case(losses.kl_distill_loss, temperature=2.0),
    loss_case(losses.m3_distill_loss),
    loss_case(losses.rank_mse_loss, temperature=0.5),
    loss_case(losses.pearson_distill_loss),
    loss_case(losses.spearman_loss, temperature=0.5),
    Case("pointwise_bce_loss", losses.pointwise_bce_loss, probabilities, reduces=True),
    loss_case(losses.pointwise_mse_loss),
    Case("ordinal_loss", losses.ordinal_loss, ordinal, reduces=True),
    # No two scores of a case are this margin apart, where the hinge would have no derivative.
    loss_case(losses.pairwise_hinge_loss, margin=0.7),
    loss_case(losses.ranknet_loss, sigma=2.0),
    weighted_case(losses.ranknet_loss, pairs="sum"),
    loss_case(losses.triplet_loss, margin=0.7),
    loss_case(losses.triplet_loss, "hardest", margin=0.7, negatives="hardest"),
    *(
        loss_case(losses.lambda_loss, weighting, weighting=weighting, k=k, sigma=0.5)
        for weighting, k in {"ndcg_loss2++": 2, "ndcg_loss1": None, "arp_loss2": None}.items()
    ),
    loss_case(losses.list_mle_loss, temperature=0.5, k=2),
    loss_case(losses.p_list_mle_loss),
    weighted_case(losses.p_list_mle_loss),
    loss_case(losses.unique_softmax_loss),
    loss_case(losses.metric_loss, metric=metrics.reciprocal_rank, ranker=soft),
    loss_case(losses.approx_ndcg_loss, temperature=0.7, k=3),
    loss_case(losses.approx_mrr_loss, temperature=0.7),
    loss_case(losses.neural_ndcg_loss, k=3, iterations=4),
    loss_case(losses.pi_rank_loss, temperature=2.0, k=3),
    replace(loss_case(losses.pi_rank_loss, "hard", k=3, straight_through=True), derivative=False),
    loss_case(losses.smooth_i_loss, k=3),
    Case("plackett_luce_loss", losses.plackett_luce_loss, sampled, reduces=True, derivative=False),
    loss_case(losses.fenchel_young_loss, temperature=0.43),
    loss_case(losses.top_k_cross_entropy_loss, probabilities=(0.5, 0.5), iterations=4),
    Case("lcron_loss", losses.lcron_loss, cascade, reduces=True),
]

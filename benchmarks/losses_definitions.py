"""The losses by their formulas, in plain torch over all pairs of a list: the sum over lists ``[batch, items]``."""

from __future__ import annotations

from math import log

import torch
from torch import Tensor
from torch.nn.functional import softplus

MU = 10.0
ITERATIONS = 50


def lambda_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """NDCG-Loss2++ of LambdaLoss (Wang et al., CIKM 2018)."""
    scores, order = scores.sort(dim=-1, descending=True)
    labels = labels.gather(-1, order)
    gains, decay = _gains(labels, scores), _discounts(labels.shape[-1] + 1, scores)
    places = torch.arange(labels.shape[-1], device=scores.device)
    apart = (places[:, None] - places).abs()
    between = (decay[apart - 1] - decay[apart]).masked_fill(apart == 0, 0.0)
    weights = (decay[places][:, None] - decay[places]).abs() + MU * between
    weights = weights * (gains[:, :, None] - gains[:, None, :]).abs()
    lost = softplus(scores[:, None, :] - scores[:, :, None]) / log(2)
    return (weights * lost * (labels[:, :, None] > labels[:, None, :])).sum()


def approx_ndcg(scores: Tensor, labels: Tensor) -> Tensor:
    """1 - ApproxNDCG (Qin et al., 2010) at temperature 1."""
    ranks = 0.5 + (scores[:, None, :] - scores[:, :, None]).sigmoid().sum(dim=-1)
    return (1 - (_gains(labels, scores) / torch.log2(1 + ranks)).sum(dim=-1)).sum()


def neural_ndcg(scores: Tensor, labels: Tensor) -> Tensor:
    """1 - NeuralNDCG (Pobrotyn and Bialobrzeski, 2021) at temperature 1, after 50 Sinkhorn iterations."""
    count = scores.shape[-1]
    spread = (scores[:, :, None] - scores[:, None, :]).abs().sum(dim=-1)
    factors = count + 1 - 2 * torch.arange(1, count + 1, device=scores.device, dtype=scores.dtype)
    logits = (factors[:, None] * scores[:, None, :] - spread[:, None, :]).log_softmax(dim=-1)
    for _ in range(ITERATIONS):
        logits = logits.log_softmax(dim=-2).log_softmax(dim=-1)
    placed = (logits.exp() @ _gains(labels, scores)[..., None])[..., 0]
    return (1 - (placed * _discounts(count, scores)).sum(dim=-1)).sum()


def list_mle(scores: Tensor, labels: Tensor) -> Tensor:
    """ListMLE (Xia et al., 2008) of labels without ties."""
    ordered = scores.gather(-1, labels.argsort(dim=-1, descending=True))
    return (ordered.flip(-1).logcumsumexp(dim=-1).flip(-1) - ordered).sum()


def _gains(labels: Tensor, like: Tensor) -> Tensor:
    gains = torch.exp2(labels.to(like.dtype)) - 1
    ideal = gains.sort(dim=-1, descending=True).values * _discounts(labels.shape[-1], like)
    return gains / ideal.sum(dim=-1, keepdim=True)


def _discounts(count: int, like: Tensor) -> Tensor:
    return 1 / torch.arange(2, count + 2, device=like.device, dtype=like.dtype).log2()

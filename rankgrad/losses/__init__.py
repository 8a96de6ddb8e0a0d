"""Losses: ``(scores, labels, mask)`` to one value, or one a list."""

from rankgrad.losses.approx_ndcg import ApproxNDCG, approx_ndcg_loss
from rankgrad.losses.info_nce import InfoNCELoss, info_nce_loss
from rankgrad.losses.kl_distill import KLDistillLoss, kl_distill_loss
from rankgrad.losses.margin_mse import MarginMSELoss, margin_mse_loss
from rankgrad.losses.metric_loss import Metric, MetricLoss, metric_loss
from rankgrad.losses.softmax_loss import SoftmaxLoss, softmax_loss

__all__ = [
    "ApproxNDCG",
    "InfoNCELoss",
    "KLDistillLoss",
    "MarginMSELoss",
    "Metric",
    "MetricLoss",
    "SoftmaxLoss",
    "approx_ndcg_loss",
    "info_nce_loss",
    "kl_distill_loss",
    "margin_mse_loss",
    "metric_loss",
    "softmax_loss",
]

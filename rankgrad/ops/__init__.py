"""Operators: tensors in, tensors out."""

from rankgrad.ops.masked import masked_log_softmax, masked_logsumexp, masked_mean, masked_softmax, safe_reduce
from rankgrad.ops.maxsim import maxsim, maxsim_packed
from rankgrad.ops.ranking import RankFunction, hard_rank
from rankgrad.ops.soft_rank import soft_rank

__all__ = [
    "RankFunction",
    "hard_rank",
    "masked_log_softmax",
    "masked_logsumexp",
    "masked_mean",
    "masked_softmax",
    "maxsim",
    "maxsim_packed",
    "safe_reduce",
    "soft_rank",
]

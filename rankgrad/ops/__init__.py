"""Operators: tensors in, tensors out."""

from rankgrad.ops.isotonic import isotonic_regression
from rankgrad.ops.masked import masked_log_softmax, masked_logsumexp, masked_mean, masked_softmax, safe_reduce
from rankgrad.ops.maxsim import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens, maxsim, maxsim_quantised
from rankgrad.ops.ranking import RankFunction, hard_rank
from rankgrad.ops.soft_rank import soft_rank
from rankgrad.ops.soft_sort import soft_sort

__all__ = [
    "Int8Tokens",
    "QuantisedTokens",
    "RankFunction",
    "ResidualTokens",
    "SignTokens",
    "hard_rank",
    "isotonic_regression",
    "masked_log_softmax",
    "masked_logsumexp",
    "masked_mean",
    "masked_softmax",
    "maxsim",
    "maxsim_quantised",
    "safe_reduce",
    "soft_rank",
    "soft_sort",
]

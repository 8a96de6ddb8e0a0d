"""Operators: tensors in, tensors out."""

from rankgrad.ops.isotonic import isotonic_regression
from rankgrad.ops.masked import masked_log_softmax, masked_logsumexp, masked_mean, masked_softmax, safe_reduce
from rankgrad.ops.maxsim import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens, maxsim, maxsim_quantised
from rankgrad.ops.ranking import RankFunction, Ties, hard_rank, ideal_order
from rankgrad.ops.scans import reverse_logcumsumexp, segment_sum
from rankgrad.ops.sinkhorn import doubly_stochastic
from rankgrad.ops.soft_permutation import soft_permutation, soft_permute
from rankgrad.ops.soft_rank import soft_rank
from rankgrad.ops.soft_sort import soft_sort
from rankgrad.ops.soft_top_k import soft_top_k
from rankgrad.ops.sparse_simplex import entmax15, sparsemax

__all__ = [
    "Int8Tokens",
    "QuantisedTokens",
    "RankFunction",
    "ResidualTokens",
    "SignTokens",
    "Ties",
    "doubly_stochastic",
    "entmax15",
    "hard_rank",
    "ideal_order",
    "isotonic_regression",
    "masked_log_softmax",
    "masked_logsumexp",
    "masked_mean",
    "masked_softmax",
    "maxsim",
    "maxsim_quantised",
    "reverse_logcumsumexp",
    "safe_reduce",
    "segment_sum",
    "soft_permutation",
    "soft_permute",
    "soft_rank",
    "soft_sort",
    "soft_top_k",
    "sparsemax",
]

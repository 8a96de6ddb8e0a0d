"""Sorting by entropic optimal transport."""

from rankgrad.ops.sinkhorn.api import apply, matrix, ranks, sorted_values
from rankgrad.ops.sinkhorn.stochastic import doubly_stochastic

__all__ = ["apply", "doubly_stochastic", "matrix", "ranks", "sorted_values"]

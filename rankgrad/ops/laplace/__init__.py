"""Ranks, thresholds, selections and sorted values by sums of Laplace distributions, in O(n log n)."""

from rankgrad.ops.laplace.api import ranks, sorted_values, thresholds, top_k_weights

__all__ = ["ranks", "sorted_values", "thresholds", "top_k_weights"]

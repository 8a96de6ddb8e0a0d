"""Sorting networks with soft comparators."""

from rankgrad.ops.sorting_network.api import apply, matrix, ranks, sorted_values

__all__ = ["apply", "matrix", "ranks", "sorted_values"]

"""SoftSort and NeuralSort: relaxed permutations, as a matrix and applied without it."""

from rankgrad.ops.relaxed_permutation.api import apply, ranks, sorted_values
from rankgrad.ops.relaxed_permutation.reference import matrix

__all__ = ["apply", "matrix", "ranks", "sorted_values"]

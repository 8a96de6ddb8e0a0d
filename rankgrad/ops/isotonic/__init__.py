"""Isotonic regression, and the projections on a permutahedron that rest on it."""

from rankgrad.ops.isotonic.api import isotonic_regression
from rankgrad.ops.isotonic.projection import ranks, sorted_values

__all__ = ["isotonic_regression", "ranks", "sorted_values"]

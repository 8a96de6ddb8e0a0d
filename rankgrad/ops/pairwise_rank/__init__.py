"""Ranks by soft pairwise comparison."""

from rankgrad.ops.pairwise_rank.library import ranks

__all__ = ["ranks"]

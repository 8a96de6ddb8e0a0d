"""Sums over the pairs of a list, with their gradient, a tile of pairs at a time."""

from rankgrad.ops.pairwise_loss.library import pairwise_losses
from rankgrad.ops.pairwise_loss.reference import PairOptions

__all__ = ["PairOptions", "pairwise_losses"]

"""Cross-entropy between labels that are scaled to sum to 1 and a softmax."""

from __future__ import annotations

from torch import Tensor

from rankgrad.losses._lists import Lists
from rankgrad.ops import masked_log_softmax


def target_cross_entropy(lists: Lists, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """(cross-entropies ``[...]``; the probability that the targets are given, ``[...]``; which lists have a target)."""
    labels = lists.labels.clamp(min=0.0)
    total = labels.sum(dim=-1, keepdim=True)
    targets = labels / total.masked_fill(total == 0, 1.0)
    log_probabilities = masked_log_softmax(lists.scores / temperature, lists.mask)
    # A score of -inf without a label costs nothing; as a product it would be 0 * inf. NaN must still come through.
    ignored = (targets == 0) & (log_probabilities == float("-inf"))
    log_probabilities = log_probabilities.masked_fill(ignored, 0.0)
    losses = -lists.weighted(targets * log_probabilities).sum(dim=-1)
    given = (targets * log_probabilities.exp().masked_fill(~lists.mask, 0.0)).sum(dim=-1)
    return losses, given, total.squeeze(-1) > 0

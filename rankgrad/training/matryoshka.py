"""One loss over embeddings of several widths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad._checks import InputError


class MatryoshkaLoss(nn.Module):
    """The mean of a loss over the scores of several widths: ``sum_w weight_w loss(scores_w) / sum_w weight_w``.

    For a model that scores with the leading coordinates of its embeddings, each width by itself, such as
    :class:`rankgrad.models.ColBERT` with ``matryoshka_dims``. Trained so, embeddings may be truncated at any of the
    widths afterwards.

    Args:
        loss: called with scores, targets and mask.
        weights: one a width; None = all alike.

    Shape:
        - scores: ``[widths, queries, candidates]``; targets and mask ``[queries, candidates]``

    Raises:
        InputError: for scores without widths, or another number of them than of weights.

    Reference:
        Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022.

    Example:
        >>> squared = lambda scores, labels, mask: (scores - labels).square().mean()
        >>> MatryoshkaLoss(squared)(torch.tensor([[[1.0, 1.0]], [[3.0, 3.0]]]), torch.zeros(1, 2))
        tensor(5.)
    """

    def __init__(self, loss: nn.Module, *, weights: list[float] | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.weights = weights

    def forward(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss."""
        if scores.dim() != labels.dim() + 1:
            raise InputError(
                f"scores {list(scores.shape)} have no axis of widths before those of labels {list(labels.shape)}: give "
                "the model matryoshka_dims, or take the loss out of MatryoshkaLoss"
            )
        weights = self.weights or [1.0] * len(scores)
        if len(weights) != len(scores):
            raise InputError(f"weights: {len(weights)} for scores of {len(scores)} widths; give one a width")
        losses = torch.stack([self.loss(each, labels, mask) for each in scores])
        shares = losses.new_tensor(weights) / sum(weights)
        return torch.tensordot(shares, losses, dims=1)

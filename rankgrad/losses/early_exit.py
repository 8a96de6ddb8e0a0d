"""Training the exits of a ranker together, each also towards what the last layer says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad.losses.kl_distill import kl_distill_loss
from rankgrad.ops._arguments import check_positive


class EarlyExitLoss(nn.Module):
    """Mean of a loss over a model's exits, plus their divergence from the last layer's scores.

    ``mean_e loss(s_e) + distillation * mean_{e < last} KL(softmax(s_last / T) || softmax(s_e / T))`` with scores s and
    temperature T; the last layer is the teacher and gets no gradient from the second term. Scores without exits (in
    validation, or of another model) go to the loss as they are.

    Args:
        loss: called with scores, labels and mask.
        distillation: weight of the divergence; 0 = none.
        temperature: divides both sides' scores in the divergence.

    Shape:
        scores ``[exits, ..., items]`` with the last layer's last, or ``[..., items]``; labels, mask ``[..., items]`` ->
        what ``loss`` gives

    Raises:
        InputError: for a temperature that is not above 0.

    Reference:
        Layer-wise heads with self-distillation: bge-reranker-v2-minicpm-layerwise (Beijing Academy of Artificial
        Intelligence, 2024); Phuong, Lampert: Distillation-Based Training for Multi-Exit Architectures, ICCV 2019.

    Example:
        >>> from rankgrad.losses import SoftmaxLoss
        >>> loss, labels = EarlyExitLoss(SoftmaxLoss()), torch.tensor([[1.0, 0.0]])
        >>> scores = torch.tensor([[2.0, 0.0]])
        >>> bool(torch.isclose(loss(torch.stack((scores, scores)), labels), loss(scores, labels)))
        True
    """

    def __init__(self, loss: nn.Module, *, distillation: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        check_positive(temperature, "temperature")
        self.loss, self.distillation, self.temperature = loss, distillation, temperature

    def forward(self, scores: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        if scores.dim() == labels.dim():
            return self.loss(scores, labels, mask)
        found = torch.stack([self.loss(each, labels, mask) for each in scores]).mean(0)
        if self.distillation == 0 or len(scores) == 1:
            return found
        teacher = scores[-1].detach()
        apart = [kl_distill_loss(each, teacher, mask, temperature=self.temperature) for each in scores[:-1]]
        return found + self.distillation * torch.stack(apart).mean()

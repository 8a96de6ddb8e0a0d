"""Letting a pretrained encoder begin to look from one text to the other."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rankgrad.modules.learned_number import learn_number

_NEVER = -1e4


class CrossAttentionBias(nn.Module):
    """One learned number that is added to every attention score between the two texts of a pair.

    A sentence encoder has been trained on single texts: given two at once, its token states get worse before training
    makes them better. With a bias well below 0 it reads the two texts almost apart, as it is used to, and learns how
    far to look across. 0 is the usual joint reading, a very low value the bi-encoder's.

    Args:
        start: the value before training.

    Shape:
        - attention_mask: int64 ``[batch, tokens]``; document_side: bool ``[batch, tokens]``, True = the second text
        - returns: float32 ``[batch, 1, tokens, tokens]``, to be added to the attention scores

    Example:
        >>> attended, document_side = torch.tensor([[1, 1, 0]]), torch.tensor([[False, True, False]])
        >>> CrossAttentionBias(start=-3.0)(attended, document_side)[0, 0, 0].tolist()
        [0.0, -3.0, -10000.0]
    """

    def __init__(self, *, start: float = -3.0) -> None:
        super().__init__()
        self.bias: nn.Parameter
        learn_number(self, "bias", start)

    def forward(self, attention_mask: Tensor, document_side: Tensor) -> Tensor:
        """Make the additive mask."""
        across = document_side[:, None, None, :] != document_side[:, None, :, None]
        bias = torch.where(across, self.bias, torch.zeros_like(self.bias))
        return bias.masked_fill(attention_mask[:, None, None, :] == 0, _NEVER)


def restarted_positions(document_side: Tensor) -> Tensor:
    """Position of each token when the second text counts from 1 again, as if it were alone behind its ``[CLS]``.

    Shape:
        document_side: bool ``[batch, tokens]`` -> int64 ``[batch, tokens]``

    Example:
        >>> restarted_positions(torch.tensor([[False, False, False, True, True]])).tolist()
        [[0, 1, 2, 1, 2]]
    """
    position = torch.arange(document_side.shape[1], device=document_side.device).expand_as(document_side)
    seen = document_side.long().cumsum(1)
    return torch.where(document_side, seen, position)

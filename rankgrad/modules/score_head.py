"""Heads that turn jointly encoded (query, document) tokens into one score."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import normalize

from rankgrad.modules.learned_number import learn_number
from rankgrad.ops._arguments import full_precision


class FirstHead(nn.Module):
    """A linear reading of the first token, ``[CLS]``: ``score = w . cls + b``.

    Args:
        hidden_size: width of the hidden states.

    Shape:
        - hidden: ``[batch, tokens, hidden]``; query_side, document_side: bool ``[batch, tokens]``, not looked at
        - returns: float32 ``[batch]``

    Example:
        >>> import torch
        >>> head, sides = FirstHead(2), torch.zeros(2, 1, 3, dtype=torch.bool)
        >>> head(torch.zeros(1, 3, 2), *sides).shape
        torch.Size([1])
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.cls = nn.Linear(hidden_size, 1)

    def forward(self, hidden: Tensor, query_side: Tensor, document_side: Tensor) -> Tensor:
        """Score each pair."""
        return _linear(self.cls, hidden[:, 0])


class MeanHead(nn.Module):
    """Cosine of the mean-pooled query and document sides, plus a linear reading of ``[CLS]``.

    ``score = scale * cos(mean(query tokens), mean(document tokens)) + w . cls``. ``w`` starts at zero, so an
    untrained head ranks by the encoder's own similarity.

    Args:
        hidden_size: width of the hidden states.
        scale: initial value of the learned scale.

    Shape:
        - hidden: ``[batch, tokens, hidden]``; query_side, document_side: bool ``[batch, tokens]``
        - returns: float32 ``[batch]``

    Example:
        >>> import torch
        >>> hidden = torch.eye(3)[None]
        >>> sides = torch.tensor([[[False, True, False]], [[False, False, True]]])
        >>> MeanHead(3)(hidden, *sides).tolist()
        [0.0]
    """

    def __init__(self, hidden_size: int, *, scale: float = 10.0) -> None:
        super().__init__()
        self.scale: nn.Parameter
        learn_number(self, "scale", scale)
        self.cls = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.cls.weight)
        nn.init.zeros_(self.cls.bias)

    def forward(self, hidden: Tensor, query_side: Tensor, document_side: Tensor) -> Tensor:
        """Score each pair."""
        hidden = hidden.float()
        query, document = (_masked_mean(hidden, side) for side in (query_side, document_side))
        cosine = (normalize(query, dim=-1) * normalize(document, dim=-1)).sum(-1)
        return self.scale * cosine + _linear(self.cls, hidden[:, 0])


class InteractionHead(nn.Module):
    """Mean MaxSim of the jointly encoded tokens, plus a linear reading of ``[CLS]``.

    ``score = scale * mean_i max_j cos(query_i, document_j) + w . cls``. ``w`` starts at zero, so an untrained head
    ranks by the encoder's own token similarities, each already informed by the other side.

    Args:
        hidden_size: width of the hidden states.
        scale: initial value of the learned scale.

    Shape:
        - hidden: ``[batch, tokens, hidden]``; query_side, document_side: bool ``[batch, tokens]``
        - returns: float32 ``[batch]``; a pair without document tokens gets the lowest cosine, -1, for each query token

    Example:
        >>> import torch
        >>> hidden = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]]])
        >>> sides = torch.tensor([[[False, True, False]], [[False, False, True]]])
        >>> InteractionHead(2)(hidden, *sides).tolist()
        [10.0]
    """

    def __init__(self, hidden_size: int, *, scale: float = 10.0) -> None:
        super().__init__()
        self.scale: nn.Parameter
        learn_number(self, "scale", scale)
        self.cls = nn.Linear(hidden_size, 1)
        nn.init.zeros_(self.cls.weight)
        nn.init.zeros_(self.cls.bias)

    def forward(self, hidden: Tensor, query_side: Tensor, document_side: Tensor) -> Tensor:
        """Score each pair."""
        hidden = hidden.float()
        tokens = normalize(hidden, dim=-1)
        with full_precision(hidden.device):
            similarity = tokens @ tokens.transpose(-1, -2)
        best = similarity.masked_fill(~document_side[:, None, :], -1.0).amax(-1)
        weights = query_side.to(best.dtype)
        mean = (best * weights).sum(-1) / weights.sum(-1).clamp(min=1.0)
        return self.scale * mean + _linear(self.cls, hidden[:, 0])


def _linear(layer: nn.Linear, states: Tensor) -> Tensor:
    """One number a row, in float32, under autocast too: eight bits would make ties. The weights may be halves."""
    with full_precision(states.device):
        return layer(states.to(layer.weight.dtype)).float().squeeze(-1)


def _masked_mean(hidden: Tensor, side: Tensor) -> Tensor:
    weights = side.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1.0)

"""From hidden states to late-interaction embeddings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class Projection(nn.Module):
    """Linear projection without bias, then L2 normalisation: the head of ColBERT.

    Args:
        hidden_size: width of the hidden states.
        dim: width of the embeddings; None leaves the hidden states as they are and only normalises them.

    Shape:
        - hidden: ``[..., hidden_size]``
        - returns: ``[..., dim]`` of unit length, in float32

    Reference:
        Khattab and Zaharia, "ColBERT: Efficient and Effective Passage Search via Contextualized Late Interaction over
        BERT", SIGIR 2020.

    Example:
        >>> embeddings = Projection(8, 4)(torch.randn(2, 3, 8))
        >>> embeddings.shape, bool(torch.allclose(embeddings.norm(dim=-1), torch.ones(2, 3)))
        (torch.Size([2, 3, 4]), True)
    """

    def __init__(self, hidden_size: int, dim: int | None) -> None:
        super().__init__()
        self.linear = nn.Identity() if dim is None else nn.Linear(hidden_size, dim, bias=False)
        self.dim = dim or hidden_size
        if isinstance(self.linear, nn.Linear):
            nn.init.orthogonal_(self.linear.weight)

    def forward(self, hidden: Tensor) -> Tensor:
        """Project and normalise."""
        return normalize(self.linear(hidden).float(), dim=-1)

    @torch.no_grad()
    def fit(self, hidden: Tensor) -> None:
        """Start from the principal axes of token states, which keep their similarities best.

        Args:
            hidden: float ``[tokens, hidden_size]``, states of real tokens; of unit length here, as MaxSim sees them.
        """
        if isinstance(self.linear, nn.Linear):
            tokens = normalize(hidden.float(), dim=-1)
            axes = torch.linalg.eigh(tokens.T @ tokens).eigenvectors
            self.linear.weight.copy_(axes.flip(-1)[:, : self.dim].T)

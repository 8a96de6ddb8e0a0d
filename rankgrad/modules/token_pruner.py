"""Learned pruning: a gate that knows which of a document's tokens can be left out of the index."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad

from rankgrad._checks import InputError


class TokenPruner(nn.Module):
    """Score each document token by how much it is worth keeping.

    A small network reads the token's embedding and gives a logit ``z``. In training every similarity with the token is
    lowered by ``-log sigmoid(z)``: nothing for a token surely kept, while one surely dropped can no longer be the
    maximum; in between the gradient tells the gate what its tokens are worth, and the encoder which it must do without.
    At inference the ``share`` of a document's tokens with the highest logits is kept.

    Args:
        dim: width of the token embeddings.
        share: part of the tokens that is kept, above 0 to 1; at least one of each document.

    Attributes:
        counts: of each group of documents scored since a list was put here, how many tokens the gates keep and how
            many are real, see :class:`rankgrad.training.KeepShare`; None = nobody asks for them.

    Shape:
        - embeddings: ``[..., dim]``
        - returns: float32 logits ``[...]``

    Raises:
        InputError: for a share outside (0, 1].

    Example:
        >>> pruner = TokenPruner(4, share=0.5)
        >>> mask = torch.tensor([[True, True, True, False]])
        >>> pruner.kept(torch.randn(1, 4, 4), mask).sum().item()
        2
    """

    def __init__(self, dim: int, *, share: float) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise InputError(f"share={share}: keep more than 0 and at most 1 of the tokens")
        self.share = share
        self.counts: list[tuple[Tensor, Tensor]] | None = None
        self.gate = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, 1))
        # Everything is kept at first: sigmoid(3) = 0.95.
        nn.init.constant_(self.gate[-1].bias, 3.0)  # type: ignore[arg-type]

    def forward(self, embeddings: Tensor) -> Tensor:
        """The logits."""
        first: nn.Linear = self.gate[0]  # type: ignore[assignment]
        return self.gate(embeddings.to(first.weight.dtype)).squeeze(-1).float()

    def kept(self, embeddings: Tensor, mask: Tensor) -> Tensor:
        """The tokens to keep, bool ``[rows, tokens]``: of the real ones the share with the highest logits.

        Args:
            embeddings: ``[rows, tokens, dim]``.
            mask: bool ``[rows, tokens]``, True = a real token.
        """
        logits = self(embeddings).masked_fill(~mask, -torch.inf)
        place = logits.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
        wanted = (mask.sum(-1, keepdim=True) * self.share - 1e-4).ceil()
        return mask & (place < wanted)

    def remember(self, logits: Tensor, mask: Tensor) -> None:
        """Count the tokens of a group for the :meth:`penalty` of the whole batch."""
        if self.counts is not None:
            self.counts.append(_kept_and_real(logits, mask))

    def penalty(self) -> Tensor | None:
        """The :func:`keep_penalty` of all tokens in ``counts``, however they were grouped; None where it holds none."""
        if not self.counts:
            return None
        kept, real = (torch.stack(each).sum() for each in zip(*self.counts, strict=True))
        return _penalty(kept, real, self.share)

    def lower(self, queries: Tensor, documents: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings with one more coordinate, which lowers each similarity with a token by ``-log sigmoid(z)``.

        Args:
            queries: ``[queries, tokens, dim]``.
            documents: ``[documents, tokens, dim]``.
            logits: of the documents' tokens, ``[documents, tokens]``.
        """
        cost = logsigmoid(logits).to(documents.dtype).unsqueeze(-1)
        return pad(queries, (0, 1), value=1.0), torch.cat([documents, cost], dim=-1)


def keep_penalty(logits: Tensor, mask: Tensor, *, share: float) -> Tensor:
    """How far the gates are from keeping ``share`` of the tokens: ``(mean_j sigmoid(z_j) - share)^2``.

    Args:
        logits: of document tokens.
        mask: bool like ``logits``, True = a real token.
        share: part of the tokens that is to be kept.

    Returns:
        One number; 0 where nothing is real.

    Example:
        >>> keep_penalty(torch.tensor([20.0, -20.0]), torch.tensor([True, True]), share=0.25).item()
        0.0625
    """
    return _penalty(*_kept_and_real(logits, mask), share)


def _kept_and_real(logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """How many tokens the gates keep (soft), and how many are real."""
    return logits.sigmoid().masked_fill(~mask, 0.0).sum(), mask.sum()


def _penalty(kept: Tensor, real: Tensor, share: float) -> Tensor:
    return (kept / real.clamp(min=1) - share).square() * (real > 0)

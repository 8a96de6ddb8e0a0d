"""Late-interaction scoring as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from rankgrad.ops import maxsim
from rankgrad.ops._dispatch import Backend
from rankgrad.ops.maxsim import Layout


class MaxSim(nn.Module):
    """:func:`rankgrad.ops.maxsim` with its options held.

    Example:
        >>> import torch
        >>> MaxSim(reduction="mean")(torch.eye(2)[None], torch.eye(2)[None])
        tensor([[1.]])
    """

    def __init__(
        self,
        *,
        layout: Layout = "all_pairs",
        reduction: Literal["sum", "mean"] = "sum",
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.layout: Layout = layout
        self.reduction: Literal["sum", "mean"] = reduction
        self.backend: Backend = backend

    def forward(
        self,
        queries: Tensor,
        documents: Tensor,
        query_mask: Tensor | None = None,
        document_mask: Tensor | None = None,
        *,
        query_weights: Tensor | None = None,
    ) -> Tensor:
        return maxsim(
            queries,
            documents,
            query_mask,
            document_mask,
            layout=self.layout,
            query_weights=query_weights,
            reduction=self.reduction,
            backend=self.backend,
        )

"""Late-interaction scoring as a module."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from rankgrad.ops import maxsim
from rankgrad.ops._dispatch import Backend
from rankgrad.ops.maxsim import Layout


class MaxSim(nn.Module):
    """:func:`rankgrad.ops.maxsim` with its options held.

    ``temperature`` is an attribute like the others: lower it in the course of a training to go from a soft maximum to
    the hard one.

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
        temperature: float | None = None,
        top_k: int | None = None,
        allow_tf32: bool = False,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        self.layout: Layout = layout
        self.reduction: Literal["sum", "mean"] = reduction
        self.temperature = temperature
        self.top_k = top_k
        self.allow_tf32 = allow_tf32
        self.backend: Backend = backend

    def forward(
        self,
        queries: Tensor,
        documents: Tensor,
        query_mask: Tensor | None = None,
        document_mask: Tensor | None = None,
        *,
        query_cu_seqlens: Tensor | None = None,
        document_cu_seqlens: Tensor | None = None,
        query_weights: Tensor | None = None,
    ) -> Tensor:
        return maxsim(
            queries,
            documents,
            query_mask,
            document_mask,
            layout=self.layout,
            query_cu_seqlens=query_cu_seqlens,
            document_cu_seqlens=document_cu_seqlens,
            query_weights=query_weights,
            reduction=self.reduction,
            temperature=self.temperature,
            top_k=self.top_k,
            allow_tf32=self.allow_tf32,
            backend=self.backend,
        )

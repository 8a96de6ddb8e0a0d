"""Random token embeddings of the shapes that are measured."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Tokens of a trained encoder share a direction. It also keeps every maximum positive, which PyLate's masking by
# multiplication with 0 needs to be right.
_COMMON = 0.5


class Shape(NamedTuple):
    """How many queries and documents of how many tokens; documents of ``shortest`` to ``document_tokens`` where set."""

    queries: int
    documents: int
    query_tokens: int
    document_tokens: int
    shortest: int = 0
    dim: int = 128

    @property
    def name(self) -> str:
        """What a setting is called.

        Example:
            >>> Shape(1, 1000, 32, 300, shortest=20).name
            '1 x 1000, 32 x 20..300 tokens'
        """
        tokens = f"{self.shortest}..{self.document_tokens}" if self.shortest else f"{self.document_tokens}"
        return f"{self.queries} x {self.documents}, {self.query_tokens} x {tokens} tokens"


class Batch:
    """Queries ``[Q, Lq, D]`` and documents: padded ``[N, Ld, D]`` with a mask, packed, or as arrays of numpy.

    The other forms are made when they are first asked for, so ask once before taking times.
    """

    def __init__(self, queries: Tensor, documents: Tensor, mask: Tensor | None) -> None:
        self.queries, self.documents, self.mask = queries, documents, mask

    @cached_property
    def lengths(self) -> Tensor:
        """Tokens of every document, int64 ``[N]``."""
        if self.mask is None:
            return torch.full(self.documents.shape[:1], self.documents.shape[1], device=self.documents.device)
        return self.mask.sum(dim=1)

    @cached_property
    def counts(self) -> list[int]:
        """The lengths as numbers."""
        return self.lengths.tolist()

    @cached_property
    def packed(self) -> Tensor:
        """Documents end to end ``[total, D]``."""
        return self.documents.flatten(0, 1) if self.mask is None else self.documents[self.mask]

    @cached_property
    def offsets(self) -> Tensor:
        """Where documents begin and end among the packed, int32 ``[N + 1]``."""
        return torch.nn.functional.pad(self.lengths.cumsum(0), (1, 0)).int()

    @cached_property
    def arrays(self) -> list[np.ndarray]:
        """A numpy array of every document."""
        return [np.ascontiguousarray(rows.numpy()) for rows in self.packed.split(self.counts)]


def make(shape: Shape, *, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0) -> Batch:
    """Unit vectors with one direction in common; zeros where a document is padded."""
    generator = torch.Generator(device).manual_seed(seed)

    def tokens(*axes: int) -> Tensor:
        noise = torch.randn(*axes, shape.dim, generator=generator, device=device)
        # In place: the largest documents fill gigabytes.
        rows = noise.div_(shape.dim**0.5).add_(_COMMON * shape.dim**-0.5)
        return rows.div_(rows.norm(dim=-1, keepdim=True)).to(dtype)

    queries = tokens(shape.queries, shape.query_tokens)
    documents = tokens(shape.documents, shape.document_tokens)
    if not shape.shortest:
        return Batch(queries, documents, None)
    span = (shape.shortest, shape.document_tokens + 1)
    lengths = torch.randint(*span, (shape.documents,), generator=generator, device=device)
    lengths[0] = shape.document_tokens
    mask = torch.arange(shape.document_tokens, device=device) < lengths[:, None]
    return Batch(queries, documents.mul_(mask.unsqueeze(-1)), mask)

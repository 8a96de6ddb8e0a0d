"""One quantised MaxSim as rows: what every implementation takes."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rankgrad.ops._arguments import accumulation_dtype
from rankgrad.ops.maxsim.problem import Problem
from rankgrad.ops.maxsim.quantised_tokens import Int8Tokens, QuantisedTokens, ResidualTokens, SignTokens


class QuantisedProblem(NamedTuple):
    """A :class:`Problem` whose documents are codes; what a format has no use for is None.

    Shape:
        - queries ``[query_rows, dim]``, query_mask and query_weights ``[query_rows]``
        - codes ``[document_rows, bytes]``, scales, centroid_ids and document_mask ``[document_rows]``
        - centroids ``[centroids, dim]``, bucket_weights ``[2 ** bits]``
        - document_offsets ``[documents + 1]``
    """

    queries: Tensor
    codes: Tensor
    scales: Tensor | None
    centroid_ids: Tensor | None
    centroids: Tensor | None
    bucket_weights: Tensor | None
    query_mask: Tensor | None
    document_mask: Tensor | None
    query_weights: Tensor | None
    document_offsets: Tensor | None
    query_count: int
    query_tokens: int
    candidates: int
    document_tokens: int
    own: bool
    zero_one: bool
    normalise: bool

    @property
    def format(self) -> Literal["int8", "residual", "sign"]:
        """How a document's codes are read."""
        if self.scales is not None:
            return "int8"
        return "sign" if self.centroids is None else "residual"

    @property
    def dtype(self) -> torch.dtype:
        """What sums are held in: float32, or float64 where the queries are."""
        return accumulation_dtype(queries=self.queries)


def quantised_problem_of(problem: Problem, tokens: QuantisedTokens) -> QuantisedProblem:
    """The problem with codes in the place of its documents."""
    codes = tokens.bits if isinstance(tokens, SignTokens) else tokens.codes
    residual = tokens if isinstance(tokens, ResidualTokens) else None
    return QuantisedProblem(
        problem.queries,
        codes.reshape(-1, codes.shape[-1]),
        tokens.scales.reshape(-1) if isinstance(tokens, Int8Tokens) else None,
        None if residual is None else residual.centroid_ids.reshape(-1),
        None if residual is None else residual.centroids,
        None if residual is None else residual.bucket_weights,
        problem.query_mask,
        problem.document_mask,
        problem.query_weights,
        problem.document_offsets,
        problem.query_count,
        problem.query_tokens,
        problem.candidates,
        problem.document_tokens,
        problem.own,
        isinstance(tokens, SignTokens) and tokens.zero_one,
        residual is not None and residual.normalise,
    )

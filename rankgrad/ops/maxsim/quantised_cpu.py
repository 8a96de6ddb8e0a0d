"""Quantised MaxSim on a CPU: int8 products of a few documents at a time, dropped once reduced."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops.maxsim.quantised_problem import QuantisedProblem
from rankgrad.ops.maxsim.quantised_tokens import byte_table

_TILE_ELEMENTS = 1 << 18
_CHUNK_ROWS = 256
_SMALLEST_SCALE = 1e-30


class _Rows(NamedTuple):
    """Real rows of queries: embeddings, or with a ``step`` whole numbers in two int8, ``high * step + low``."""

    values: Tensor  # [rows, dim], or [2, rows, dim] int8
    factors: Tensor | None  # [rows], of their maxima
    owner: Tensor  # [rows], their query
    step: int

    def part(self, begin: int, end: int) -> _Rows:
        """Some of the rows."""
        factors = None if self.factors is None else self.factors[begin:end]
        return _Rows(self.values[..., begin:end, :], factors, self.owner[begin:end], self.step)


class _Documents(NamedTuple):
    """Where the real tokens of each document lie: document ``i`` has ``counts[i]`` of them from ``starts[i]``."""

    starts: Tensor  # [documents]
    counts: Tensor  # [documents]
    rows: Tensor | None  # [real tokens], their document rows; None = themselves


class _Block(NamedTuple):
    """A few documents as long as the longest: the others repeat their last token, which changes no maximum."""

    numbers: Tensor  # [documents], among the candidates
    rows: Tensor | slice  # [documents * longest], their document rows


def scores(problem: QuantisedProblem) -> Tensor:
    """Scores ``[query_count, candidates]``."""
    rows, documents = _rows(problem), _documents(problem)
    table = _table(problem, integers=rows.step > 0)
    result = torch.full((problem.query_count, problem.candidates), -torch.inf, dtype=problem.dtype)
    # With documents of their own queries come one by one; else all together.
    queries = 1 if problem.own else problem.query_count
    cuts = torch.searchsorted(rows.owner, torch.arange(problem.query_count + 1)).tolist() if problem.own else None
    for group, (begin, end) in enumerate(pairwise(cuts or [0, rows.owner.shape[0]])):
        if begin == end:
            continue
        chunks = [rows.part(first, min(first + _CHUNK_ROWS, end)) for first in range(begin, end, _CHUNK_ROWS)]
        budget = _TILE_ELEMENTS // chunks[0].owner.shape[0]
        for block in _blocks(documents, group * problem.candidates, problem.candidates, budget):
            right, factors = _right(problem, block.rows, table, integers=rows.step > 0)
            sums = result.new_zeros((queries, block.numbers.shape[0]))
            for chunk in chunks:
                maxima = _maxima(chunk, right, factors, block.numbers.shape[0])
                if queries == 1:
                    sums += maxima.sum(dim=1)
                else:
                    sums.index_add_(0, chunk.owner, maxima.T)
            result[group * queries : (group + 1) * queries, block.numbers] = sums
    if problem.query_mask is not None or not problem.query_tokens:
        result[rows.owner.bincount(minlength=problem.query_count) == 0] = 0.0
    return result


def _rows(problem: QuantisedProblem) -> _Rows:
    owner = torch.arange(problem.query_count).repeat_interleave(problem.query_tokens)
    values, weights, mask = problem.queries, problem.query_weights, problem.query_mask
    if mask is not None:
        owner, values, weights = owner[mask], values[mask], None if weights is None else weights[mask]
    values = values.to(problem.dtype)
    weights = None if weights is None else weights.to(problem.dtype)
    # Without VNNI instructions oneDNN's sums of products may saturate, and take longer than float32.
    if (
        problem.format == "residual"
        or problem.dtype != torch.float32
        or not torch.backends.mkldnn.is_available()
        or not torch.cpu._is_vnni_supported()
        or not values.isfinite().all()
    ):
        return _Rows(values, weights, owner, 0)
    # Steps as fine as leave sums of products with codes down to -128, or with signs, within int32.
    step = 256 if problem.format == "sign" or values.shape[1] <= 512 else 128
    scales = torch.linalg.vector_norm(values, ord=torch.inf, dim=1) / (127 * step + step // 2 - 1)
    scales.clamp_(min=_SMALLEST_SCALE)
    whole = (values / scales.unsqueeze(1)).round_()
    high = torch.div(whole + step // 2, step, rounding_mode="floor")
    parts = torch.stack([high, whole.sub_(high, alpha=step)]).to(torch.int8)
    return _Rows(parts, scales if weights is None else scales * weights, owner, step)


def _table(problem: QuantisedProblem, *, integers: bool) -> Tensor | None:
    """What each byte of packed codes stands for ``[256, values]``; None where codes are not packed."""
    if problem.bucket_weights is not None:
        return byte_table(problem.bucket_weights.to(problem.dtype))
    if problem.format == "sign":
        signs = torch.tensor([0 if problem.zero_one else -1, 1], dtype=torch.int8)
        return byte_table(signs if integers else signs.to(problem.dtype))
    return None


def _documents(problem: QuantisedProblem) -> _Documents:
    documents = problem.query_count * problem.candidates if problem.own else problem.candidates
    if problem.document_offsets is None:
        bounds = torch.arange(documents + 1) * problem.document_tokens
    else:
        bounds = problem.document_offsets.long()
    mask, rows = problem.document_mask, None
    if mask is not None and not mask.all():
        rows = mask.nonzero().squeeze(1)
        bounds = torch.searchsorted(rows, bounds)
    return _Documents(bounds[:-1], bounds.diff(), rows)


def _blocks(documents: _Documents, first: int, candidates: int, budget: int) -> Iterator[_Block]:
    """Documents from ``first`` that have a real token, the shortest first so that few tokens are repeated."""
    counts, order = documents.counts[first : first + candidates].sort(stable=True)
    starts = documents.starts[first : first + candidates][order]
    lengths, begins = counts.tolist(), starts.tolist()
    start = lengths.count(0)
    while start < candidates:
        stop = start + 1
        while stop < candidates and lengths[stop] * (stop + 1 - start) <= budget:
            stop += 1
        longest = lengths[stop - 1]
        end = begins[start] + longest * (stop - start)
        if documents.rows is None and lengths[start] == longest and begins[stop - 1] + longest == end:
            yield _Block(order[start:stop], slice(begins[start], end))
        else:
            places = torch.arange(longest).expand(stop - start, -1).minimum(counts[start:stop, None] - 1)
            rows = (starts[start:stop, None] + places).flatten()
            yield _Block(order[start:stop], rows if documents.rows is None else _taken(documents.rows, rows))
        start = stop


def _right(
    problem: QuantisedProblem, rows: Tensor | slice, table: Tensor | None, *, integers: bool
) -> tuple[Tensor, Tensor | None]:
    """What the queries are multiplied with ``[tokens, dim]``, and factors of the products ``[tokens]``."""
    codes = _taken(problem.codes, rows).contiguous()
    if table is None:
        factors = None if problem.scales is None else _taken(problem.scales, rows).to(problem.dtype)
        return codes if integers else codes.to(problem.dtype), factors
    values = _unpacked(codes, table)
    if problem.centroids is None or problem.centroid_ids is None:
        return values, None
    values += problem.centroids.index_select(0, _taken(problem.centroid_ids, rows))
    if not problem.normalise:
        return values, None
    # Lengths divide the products, of which there are fewer than values.
    return values, torch.linalg.vector_norm(values, dim=1).clamp_(min=1e-12).reciprocal_()


def _taken(tensor: Tensor, rows: Tensor | slice) -> Tensor:
    # Indexing with a tensor, which does the same, takes many times as long.
    return tensor[rows] if isinstance(rows, slice) else tensor.index_select(0, rows)


def _unpacked(codes: Tensor, table: Tensor) -> Tensor:
    """The values of packed codes; those of a byte are gathered as one number where a type is as wide."""
    wide = {8: torch.int64, 16: torch.complex128}.get(table[0].nbytes)
    source = table if wide is None else table.view(wide).squeeze(1)
    return source.index_select(0, codes.flatten().int()).view(table.dtype).view(codes.shape[0], -1)


def _maxima(rows: _Rows, right: Tensor, factors: Tensor | None, documents: int) -> Tensor:
    """Token maxima times the rows' factors ``[documents, rows]``."""
    if rows.step:
        high, products = torch._int_mm(right, rows.values.flatten(0, 1).T).chunk(2, dim=1)  # pyright: ignore[reportPrivateImportUsage]
        products.add_(high, alpha=rows.step)
    else:
        products = right @ rows.values.T
    if factors is not None:
        products = products.to(factors.dtype).mul_(factors.unsqueeze(1))
    maxima = products.unflatten(0, (documents, -1)).amax(dim=1)
    return maxima if rows.factors is None else maxima * rows.factors

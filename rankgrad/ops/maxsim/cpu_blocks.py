"""How MaxSim is cut on a CPU: query rows into parts, documents into runs, a run into tiles that stay in the cache."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops.maxsim.problem import Problem

TILE_ELEMENTS = 1 << 20
_PART_ROWS = 512
CACHED_ELEMENTS = 1 << 22
RUN_ROWS = 1 << 17
RUN_ELEMENTS = 1 << 19
# How much longer than the shortest document of a tile the longest may be.
_LONGER, _LONGER_TOKENS = 1.2, 8


class Part(NamedTuple):
    """Some rows of each group of query rows that meets the same documents.

    Shared documents make one group of all rows; with documents of its own, each query is a group. A group of fewer real
    rows than another repeats its last.
    """

    rows: Tensor  # [groups, rows] int64
    real: Tensor | None  # [groups, rows], False where repeated; None = nowhere

    def met(self, documents: Tensor, candidates: int) -> Part:
        """The rows that each document meets, ``[documents, rows]``, or ``[1, rows]`` where all meet the same."""
        return self if self.rows.shape[0] == 1 else self._of(documents // candidates)

    def met_by(self, tile: Tile) -> Part:
        """Of the rows that the documents of a run meet, those of a tile."""
        return self if self.rows.shape[0] == 1 else self._of(tile.span)

    def _of(self, groups: Tensor | slice) -> Part:
        return Part(self.rows[groups], None if self.real is None else self.real[groups])


class Run(NamedTuple):
    """Consecutive documents, those of the fewest real tokens first."""

    documents: Tensor  # [documents] int64
    starts: Tensor  # [documents] int64, the row of each one's place 0
    firsts: Tensor  # [documents] int64, where its real tokens begin: among ``real`` or else among all rows
    lengths: Tensor  # [documents] int64, how many they are
    widths: list[int]  # the lengths
    real: Tensor | None  # [tokens] int64, the rows of real tokens; None = all rows
    even: bool  # all rows are real, and as many in each document


class Tile(NamedTuple):
    """Documents of a run, as long as the longest of them: a shorter one repeats its last real token."""

    span: slice  # which of the run
    rows: Tensor | slice  # [documents * width] int64
    tokens: Tensor  # [documents, width, dim]


class Memory:
    """Memory that tiles use one after another: the first touch of fresh memory is slow."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._elements = torch.empty(0, dtype=dtype)

    def view(self, *shape: int) -> Tensor:
        """Uninitialised and valid until the next call."""
        size = torch.Size(shape).numel()
        if size > self._elements.shape[0]:
            self._elements = self._elements.new_empty(size)
        return self._elements[:size].view(shape)


def parts(problem: Problem) -> list[Part]:
    """All real query rows, so many at a time that they fit a tile with the longest document."""
    mask, offsets, count = problem.query_mask, problem.query_offsets, problem.queries.shape[0]
    rows = torch.arange(count) if mask is None else mask.nonzero().squeeze(1)
    if not rows.shape[0] or not problem.document_count:
        return []
    longest = problem.document_tokens
    if problem.document_offsets is not None:
        longest = int(problem.document_offsets.diff().max())
    size = max(1, min(_PART_ROWS, TILE_ELEMENTS // max(longest, 1)))
    groups = problem.query_count if problem.own else 1
    if groups == 1 or (mask is None and offsets is None):
        return [Part(some, None) for some in rows.view(groups, -1).split(size, dim=1)]
    bounds = torch.arange(groups + 1) * problem.query_tokens if offsets is None else offsets.long()
    bounds = torch.searchsorted(rows, bounds)
    counts = bounds.diff().unsqueeze(1)
    places = torch.arange(int(counts.max()))
    table = rows[(bounds[:-1, None] + places.minimum(counts - 1)).clamp(min=0)]
    return [Part(*some) for some in zip(table.split(size, 1), (places < counts).split(size, 1), strict=True)]


def document_starts(problem: Problem) -> Sequence[int]:
    """The first row of every document, and the end of the last one."""
    if problem.document_offsets is not None:
        return problem.document_offsets.tolist()
    width, count = problem.document_tokens, problem.document_count
    return range(0, (count + 1) * width, width) if width else [0] * (count + 1)


def spans(starts: Sequence[int], rows: int, documents: int) -> Iterator[tuple[int, int]]:
    """First and one past the last of consecutive documents: at most so many, and of so many rows where not alone."""
    first, count = 0, len(starts) - 1
    while first < count:
        last = min(bisect_right(starts, starts[first] + rows) - 1, first + documents, count)
        last = max(first + 1, last)
        yield first, last
        first = last


def real_tokens(problem: Problem, starts: Sequence[int]) -> tuple[Tensor | None, Sequence[int]]:
    """The rows of consecutive documents' real tokens, None = all, and where among them each begins, with the end."""
    mask = None if problem.document_mask is None else problem.document_mask[starts[0] : starts[-1]]
    if mask is None or mask.all():
        return None, starts
    rows = mask.nonzero().squeeze(1).add_(starts[0])
    return rows, torch.searchsorted(rows, torch.tensor(starts)).tolist()


def runs(problem: Problem, rows: int) -> Iterator[Run]:
    """All documents. Only those of a run are sorted, so that what is held of each for ``rows`` rows is little."""
    starts = document_starts(problem)
    for first, last in spans(starts, RUN_ROWS, RUN_ELEMENTS // rows):
        real, bounds = real_tokens(problem, starts[first : last + 1])
        firsts = torch.tensor(bounds)
        lengths, order = firsts.diff().sort(stable=True)
        widths = lengths.tolist()
        even = real is None and widths[0] == widths[-1]
        places = torch.tensor(starts[first:last])
        yield Run(order + first, places[order], firsts[order], lengths, widths, real, even)


def tiles(problem: Problem, run: Run, rows: int, memory: Memory) -> Iterator[Tile]:
    """The documents of a run that have real tokens, in tiles that fit with their similarities to ``rows`` rows."""
    widths, places = run.widths, torch.arange(run.widths[-1])
    budget = tile_tokens(problem, rows)
    begin = bisect_right(widths, 0)
    while begin < len(widths):
        end = bisect_right(widths, widths[begin] * _LONGER + _LONGER_TOKENS)
        end = min(end, begin + max(1, budget // widths[end - 1]))
        count, width = end - begin, widths[end - 1]
        if run.even:
            first = int(run.firsts[begin])
            chosen: Tensor | slice = slice(first, first + width * count)
        else:
            chosen = run.lengths[begin:end, None].sub(1).minimum(places[:width])
            chosen = chosen.add_(run.firsts[begin:end, None]).flatten()
            chosen = chosen if run.real is None else run.real[chosen]
        tokens = document_vectors(problem, chosen, memory)
        yield Tile(slice(begin, end), chosen, tokens.view(count, width, tokens.shape[1]))
        begin = end


def repeated(run: Run, tile: Tile) -> Tensor | None:
    """Which tokens of a tile repeat another: ``[documents, width, 1]``; None where none does."""
    width = tile.tokens.shape[1]
    if run.widths[tile.span.start] == width:
        return None
    return (torch.arange(width) >= run.lengths[tile.span, None]).unsqueeze(2)


def tile_tokens(problem: Problem, rows: int) -> int:
    """How many tokens fit a tile with their similarities to ``rows`` rows."""
    return TILE_ELEMENTS // (rows + problem.documents.shape[1])


def scored_tokens(rows: int, dim: int) -> int:
    """The same of similarities that are reduced at once and not kept: with fewer they are faster."""
    return max(1, TILE_ELEMENTS // 2 // (rows + dim))


def document_vectors(problem: Problem, rows: Tensor | slice, memory: Memory) -> Tensor:
    """Document rows ``[tokens, dim]`` in the type that sums are held in.

    Rows that could be multiplied where they are get copied too, unless all documents fit the last cache: to read a tile
    in order and then again from a near cache takes less time than the product's own way through memory.
    """
    documents = problem.documents
    if isinstance(rows, slice):
        block = documents[rows]
        if documents.dtype == problem.dtype and documents.numel() <= CACHED_ELEMENTS:
            return block
        return memory.view(*block.shape).copy_(block)
    tokens = memory.view(rows.shape[0], documents.shape[1])
    if documents.dtype == tokens.dtype:
        return torch.index_select(documents, 0, rows, out=tokens)
    return tokens.copy_(documents.index_select(0, rows))


def query_vectors(problem: Problem, part: Part) -> Tensor:
    """The rows of a part, ``[groups, rows, dim]`` in the type that sums are held in; 0 where not real."""
    vectors = problem.queries.index_select(0, part.rows.flatten()).to(problem.dtype)
    vectors = vectors.view(*part.rows.shape, problem.queries.shape[1])
    return vectors if part.real is None else vectors.masked_fill_(~part.real.unsqueeze(2), 0.0)


def similarities(tokens: Tensor, vectors: Tensor, memory: Memory) -> Tensor:
    """``[documents, width, rows]`` of a tile's tokens to the vectors that its documents meet."""
    result = memory.view(*tokens.shape[:2], vectors.shape[1])
    if vectors.shape[0] == 1:
        torch.mm(tokens.flatten(0, 1), vectors[0].T, out=result.flatten(0, 1))
    else:
        torch.bmm(tokens, vectors.mT, out=result)
    return result

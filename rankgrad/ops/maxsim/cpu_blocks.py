"""How MaxSim is cut on a CPU: query rows into parts, documents into runs, a run into tiles that stay in the cache."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from rankgrad.ops.maxsim.problem import Problem

TILE_ELEMENTS = 1 << 20
_PART_ROWS = 512
_CACHED_ELEMENTS = 1 << 22
_RUN_ROWS = 1 << 17
_RUN_DOCUMENTS = 1 << 11
# How much longer than the shortest document of a tile the longest may be.
_LONGER, _LONGER_TOKENS = 1.2, 8


class Part(NamedTuple):
    """Some rows of each group of query rows that meets the same documents.

    Shared documents make one group of all rows; with documents of its own, each query is a group. A group of fewer real
    rows than another repeats its last.
    """

    rows: Tensor  # [groups, rows] int64
    real: Tensor | None  # [groups, rows], False where repeated; None = nowhere

    def meeting(self, documents: Tensor, candidates: int) -> Part:
        """The rows that each document meets, ``[documents, rows]``, or ``[1, rows]`` where all meet the same."""
        if self.rows.shape[0] == 1:
            return self
        groups = documents // candidates
        return Part(self.rows[groups], None if self.real is None else self.real[groups])

    def of(self, tile: Tile) -> Part:
        """Those that a tile's documents meet, of a part made by ``meeting``."""
        if self.rows.shape[0] == 1:
            return self
        return Part(self.rows[tile.span], None if self.real is None else self.real[tile.span])


class Run(NamedTuple):
    """Consecutive documents; sorted, those of the fewest real tokens come first."""

    documents: Tensor  # [documents] int64
    starts: Tensor  # [documents] int64, the row of each one's place 0
    firsts: Tensor  # [documents] int64, where its real tokens begin: among ``real`` or else among all rows
    lengths: Tensor  # [documents] int64, how many they are
    real: Tensor | None  # [tokens] int64, the rows of real tokens; None = all rows
    widths: list[int] = []  # noqa: RUF012 - replaced, never changed
    even: bool = False  # all rows are real, as many in each document


class Tile(NamedTuple):
    """Documents of a run, as long as the longest of them: a shorter one repeats its last real token."""

    span: slice  # which of the run
    rows: Tensor | slice  # [documents * width] int64
    tokens: Tensor  # [documents, width, dim]


class Memory:
    """Memory that tiles use one after another: fresh memory costs a page fault every few thousand bytes."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._elements = torch.empty(0, dtype=dtype)

    def view(self, *shape: int) -> Tensor:
        """Uninitialised and valid until the next call."""
        size = torch.Size(shape).numel()
        if size > self._elements.shape[0]:
            self._elements = self._elements.new_empty(size)
        return self._elements[:size].view(shape)


def document_starts(problem: Problem) -> Tensor:
    """The first row of every document, and the end of the last one: int64 ``[documents + 1]``."""
    if problem.document_offsets is not None:
        return problem.document_offsets.long()
    return torch.arange(problem.document_count + 1) * problem.document_tokens


def parts(problem: Problem) -> list[Part]:
    """All real query rows, so many at a time that they fit a tile with the longest document."""
    longest = problem.document_tokens
    if problem.document_offsets is not None and problem.document_count:
        longest = int(problem.document_offsets.diff().max())
    size = max(1, min(_PART_ROWS, TILE_ELEMENTS // max(longest, 1)))
    mask, groups, count = problem.query_mask, problem.query_count if problem.own else 1, problem.queries.shape[0]
    rows = torch.arange(count) if mask is None else mask.nonzero().squeeze(1)
    if not rows.shape[0] or not problem.document_count:
        return []
    if groups == 1 or (mask is None and problem.query_offsets is None):
        return [Part(some, None) for some in rows.view(groups, -1).split(size, dim=1)]
    offsets = torch.arange(groups + 1) * problem.query_tokens
    bounds = torch.searchsorted(rows, offsets if problem.query_offsets is None else problem.query_offsets.long())
    counts = bounds.diff().unsqueeze(1)
    places = torch.arange(int(counts.max()))
    table = rows[(bounds[:-1, None] + places.minimum(counts - 1)).clamp(min=0)]
    return [Part(*some) for some in zip(table.split(size, 1), (places < counts).split(size, 1), strict=True)]


def spans(starts: Tensor, rows: int) -> Iterator[tuple[int, int]]:
    """First and one past the last of consecutive documents that own at most ``rows`` rows, or of one that owns more."""
    cuts = starts.tolist()
    first = 0
    while first < len(cuts) - 1:
        last = max(first + 1, min(bisect_right(cuts, cuts[first] + rows) - 1, first + _RUN_DOCUMENTS))
        yield first, last
        first = last


def runs(problem: Problem, *, sort: bool) -> Iterator[Run]:
    """All documents. Only those of a run are sorted, so that what describes a run stays small."""
    starts = document_starts(problem)
    for first, last in spans(starts, _RUN_ROWS):
        own = starts[first : last + 1]
        bounds, real, row = own, None, int(own[0])
        mask = None if problem.document_mask is None else problem.document_mask[row : int(own[-1])]
        if mask is not None and not mask.all():
            real = mask.nonzero().squeeze(1).add_(row)
            bounds = torch.searchsorted(real, own)
        run = Run(torch.arange(first, last), own[:-1], bounds[:-1], bounds.diff(), real)
        widths = run.lengths.tolist()
        even = real is None and widths.count(widths[0]) == len(widths)
        if sort and not even:
            lengths, order = run.lengths.sort(stable=True)
            run = Run(run.documents[order], run.starts[order], run.firsts[order], lengths, real)
            widths.sort()
        yield run._replace(widths=widths, even=even)


def tiles(problem: Problem, run: Run, rows: int, memory: Memory) -> Iterator[Tile]:
    """The documents of a sorted run that have real tokens, in tiles that fit with their products with ``rows`` rows."""
    widths, places = run.widths, torch.arange(run.widths[-1])
    budget = tile_tokens(problem, rows, gathered=not run.even)
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


def tile_tokens(problem: Problem, rows: int, *, gathered: bool) -> int:
    """How many tokens fit a tile with their similarities to ``rows`` rows."""
    return TILE_ELEMENTS // (rows + (problem.documents.shape[1] if gathered or not _in_place(problem) else 0))


def document_vectors(problem: Problem, rows: Tensor | slice, memory: Memory) -> Tensor:
    """Document rows ``[tokens, dim]`` in the type that sums are held in."""
    documents = problem.documents
    if isinstance(rows, slice) and _in_place(problem):
        return documents[rows]
    tokens = memory.view(rows.stop - rows.start if isinstance(rows, slice) else rows.shape[0], documents.shape[1])
    if isinstance(rows, slice):
        return tokens.copy_(documents[rows])
    if documents.dtype == tokens.dtype:
        return torch.index_select(documents, 0, rows, out=tokens)
    return tokens.copy_(documents.index_select(0, rows))


def _in_place(problem: Problem) -> bool:
    """Whether documents are multiplied where they are.

    Not where they leave the last cache: to read a tile in order and then again from the cache takes less time than the
    product's own way through memory.
    """
    documents = problem.documents
    return documents.dtype == problem.dtype and documents.is_contiguous() and documents.numel() <= _CACHED_ELEMENTS


def repeated(run: Run, tile: Tile) -> Tensor | None:
    """Which tokens of a tile repeat another: ``[documents, width, 1]``; None where none does."""
    width = tile.tokens.shape[1]
    if run.widths[tile.span.start] == width:
        return None
    return (torch.arange(width) >= run.lengths[tile.span, None]).unsqueeze(2)


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

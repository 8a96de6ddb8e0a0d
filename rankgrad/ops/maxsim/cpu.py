"""MaxSim on a CPU: similarities of a few documents at a time, dropped once reduced."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from rankgrad.ops.maxsim.cpu_backward import backward
from rankgrad.ops.maxsim.cpu_blocks import (
    Memory,
    Part,
    Run,
    document_vectors,
    parts,
    query_vectors,
    repeated,
    runs,
    similarities,
    spans,
    tile_tokens,
    tiles,
)  # fmt: skip
from rankgrad.ops.maxsim.problem import Problem

__all__ = ["backward", "forward"]

_NONE = float("-inf")
# Where torch's scatter_reduce begins to reduce whole rows.
_VECTORISED_COLUMNS = 16


def forward(problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor]:
    """Scores ``[query_count, candidates]`` and, where ``keep``, the residual of the backward pass."""
    scores = torch.zeros((problem.query_count, problem.candidates), dtype=problem.dtype)
    residual = torch.empty(problem.residual_shape if keep else 0, dtype=problem.residual_dtype)
    residual.fill_(_NONE if problem.temperature else -1)
    weights = None if problem.query_weights is None else problem.query_weights.to(problem.dtype)
    query = None if problem.own or problem.query_count == 1 else problem.row_query()
    memory = Memory(problem.dtype), Memory(problem.dtype)
    chunks = parts(problem)
    packed = bool(chunks) and not keep and problem.top_k == 1 and not problem.temperature
    packed = packed and chunks[0].rows.shape[0] == 1 and chunks[0].rows.shape[1] >= _VECTORISED_COLUMNS
    for run in runs(problem, sort=not packed) if chunks else ():
        for part in chunks:
            met = part.meeting(run.documents, problem.candidates)
            if packed and not run.even:
                values, places = _packed_maxima(problem, run, met, memory), None
            else:
                values, places = _maxima(problem, run, met, memory, keep=keep)
            if keep:
                _store(residual, values.unsqueeze(0) if places is None else places, run.documents, met)
            if weights is not None:
                values = (values * weights[met.rows]).masked_fill_((run.lengths == 0).unsqueeze(1), _NONE)
            if met.real is not None:
                values = values.masked_fill(~met.real, 0.0)
            if query is None:
                scores.view(-1).index_add_(0, run.documents, values.sum(dim=1))
            else:
                sums = values.new_zeros((problem.query_count, len(run.widths)))
                scores[:, run.documents] += sums.index_add_(0, query[met.rows[0]], values.T.contiguous())
    return scores, residual


def _store(residual: Tensor, kept: Tensor, documents: Tensor, met: Part) -> None:
    """Write ``kept`` ``[top_k, documents, rows]`` where it belongs."""
    candidates = (documents % residual.shape[1]).unsqueeze(1)
    if met.real is None:
        residual[:, candidates, met.rows] = kept
    else:
        residual[:, candidates.expand_as(met.rows)[met.real], met.rows[met.real]] = kept[:, met.real]


def _maxima(
    problem: Problem, run: Run, met: Part, memory: tuple[Memory, Memory], *, keep: bool
) -> tuple[Tensor, Tensor | None]:
    """Values ``[documents, rows]`` and, where kept, places in it of hard ones ``[top_k, documents, rows]``."""
    values = torch.full((len(run.widths), met.rows.shape[1]), _NONE, dtype=problem.dtype)
    places = None
    if keep and not problem.temperature:
        places = torch.full((problem.top_k, *values.shape), -1, dtype=torch.int32)
    shared = query_vectors(problem, met) if met.rows.shape[0] == 1 else None
    for tile in tiles(problem, run, values.shape[1], memory[0]):
        products = similarities(
            tile.tokens, query_vectors(problem, met.of(tile)) if shared is None else shared, memory[1]
        )
        if problem.temperature or problem.top_k > 1:
            absent = repeated(run, tile)
            if absent is not None:
                products.masked_fill_(absent, _NONE)
        if problem.temperature:
            values[tile.span] = _soft_maxima(products, problem.temperature)
        else:
            lengths = run.lengths[tile.span, None]
            found = None if places is None else places[:, tile.span]
            values[tile.span] = _highest(products, lengths, problem.top_k, found)
    if places is not None and run.real is not None and run.real.shape[0]:
        # So far they count the document's real tokens.
        rows = run.real[(places + run.firsts.unsqueeze(1)).clamp_(max=run.real.shape[0] - 1)]
        places = (rows - run.starts.unsqueeze(1)).int().where(places >= 0, -1)
    return values, places


def _packed_maxima(problem: Problem, run: Run, met: Part, memory: tuple[Memory, Memory]) -> Tensor:
    """Hard maxima ``[documents, rows]`` of an unsorted run, without a token that is repeated."""
    vectors = query_vectors(problem, met)
    values = torch.full((len(run.widths), vectors.shape[1]), _NONE, dtype=problem.dtype)
    budget = tile_tokens(problem, vectors.shape[1], gathered=run.real is not None)
    bounds, base = pad(run.lengths.cumsum(0), (1, 0)), int(run.firsts[0])
    owner = torch.arange(len(run.widths)).repeat_interleave(run.lengths)
    for first, last in spans(bounds, budget):
        within = slice(int(bounds[first]), int(bounds[last]))
        chosen = slice(base + within.start, base + within.stop)
        tokens = document_vectors(problem, chosen if run.real is None else run.real[chosen], memory[0])
        products = similarities(tokens.unsqueeze(0), vectors, memory[1])[0]
        values.scatter_reduce_(0, owner[within].unsqueeze(1).expand_as(products), products, "amax")
    return values


def _soft_maxima(products: Tensor, temperature: float) -> Tensor:
    """``temperature * logsumexp(products / temperature)`` over each document ``[documents, rows]``, in place."""
    peak = products.amax(dim=1)
    # The difference of equal infinities is NaN, but the sum of their exponentials is not.
    peak.masked_fill_(peak.isinf(), 0.0)
    sums = products.sub_(peak.unsqueeze(1)).div_(temperature).exp_().sum(dim=1)
    return sums.log_().mul_(temperature).add_(peak)


def _highest(products: Tensor, lengths: Tensor, top_k: int, places: Tensor | None) -> Tensor:
    """The mean of each document's highest ``[documents, rows]``; fills places ``[top_k, documents, rows]``."""
    total = products.amax(dim=1)
    if top_k == 1 and places is None:
        return total
    peak = total
    for turn in range(min(top_k, products.shape[1])):
        if turn:
            peak = products.amax(dim=1)
            total = total + peak.where(turn < lengths, 0.0)
        last = turn + 1 == top_k
        if last and places is None:
            break
        place = _first_equal(products, peak, reuse=last)
        if places is not None:
            places[turn] = place.where(turn < lengths, -1)
        if not last:
            products.scatter_(1, place.unsqueeze(1), _NONE)
    return total / lengths.clamp(max=top_k) if top_k > 1 else total


def _first_equal(products: Tensor, peak: Tensor, *, reuse: bool) -> Tensor:
    """The lowest place ``[documents, rows]`` that holds the peak. ``reuse``: the products may be overwritten.

    Passes of floating-point numbers only, which torch vectorises, take a tenth of the time of its argmax.
    """
    if peak.isnan().any():
        return products.max(dim=1).indices
    width = products.shape[1]
    backwards = torch.arange(width, 0, -1, dtype=peak.dtype).unsqueeze(1)
    hits = torch.eq(products, peak.unsqueeze(1), out=products if reuse else torch.empty_like(products))
    return (width - hits.mul_(backwards).amax(dim=1)).long()

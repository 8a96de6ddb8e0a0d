"""MaxSim on a CPU: similarities of a few documents at a time, dropped once reduced."""

from __future__ import annotations

import torch
from torch import Tensor

from rankgrad.ops.maxsim.cpu_backward import backward
from rankgrad.ops.maxsim.cpu_blocks import Memory, Part, Run, parts, query_vectors, repeated, runs, similarities, tiles
from rankgrad.ops.maxsim.cpu_scoring import add_scores, add_shared_hard_scores
from rankgrad.ops.maxsim.cpu_small import scores_if_small
from rankgrad.ops.maxsim.problem import Problem

__all__ = ["backward", "forward"]

_NONE = float("-inf")
# From how many columns on torch's scatter_reduce takes whole rows at a time.
_WHOLE_ROWS = 16


def forward(problem: Problem, *, keep: bool) -> tuple[Tensor, Tensor]:
    """Scores ``[query_count, candidates]`` and, where ``keep``, the residual of the backward pass."""
    small = None if keep else scores_if_small(problem)
    if small is not None:
        return small, torch.empty(0, dtype=problem.residual_dtype)
    scores = torch.zeros((problem.query_count, problem.candidates), dtype=problem.dtype)
    residual = torch.empty(problem.residual_shape if keep else 0, dtype=problem.residual_dtype)
    if keep:
        residual.fill_(_NONE if problem.temperature else -1)
    chunks = parts(problem)
    if not chunks:
        return scores, residual
    groups, width = chunks[0].rows.shape
    if not keep and groups == 1 and width >= _WHOLE_ROWS and problem.top_k == 1 and not problem.temperature:
        add_shared_hard_scores(problem, scores, chunks)
        return scores, residual
    memory = Memory(problem.dtype), Memory(problem.dtype)
    for run in runs(problem, width):
        for part in chunks:
            met = part.met(run.documents, problem.candidates)
            values, places = _maxima(problem, run, met, memory, keep=keep)
            add_scores(problem, scores, values, met, run.documents, run.lengths)
            if keep:
                _store(residual, values.unsqueeze(0) if places is None else places, run.documents, met)
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
    """Values ``[documents, rows]`` and, of hard ones where kept, places ``[top_k, documents, rows]``."""
    values = torch.full((len(run.widths), met.rows.shape[1]), _NONE, dtype=problem.dtype)
    places = None
    if keep and not problem.temperature:
        places = torch.full((problem.top_k, *values.shape), -1, dtype=torch.int32)
    shared = query_vectors(problem, met) if met.rows.shape[0] == 1 else None
    for tile in tiles(problem, run, values.shape[1], memory[0]):
        vectors = query_vectors(problem, met.met_by(tile)) if shared is None else shared
        products = similarities(tile.tokens, vectors, memory[1])
        if problem.temperature or problem.top_k > 1:
            absent = repeated(run, tile)
            if absent is not None:
                products.masked_fill_(absent, _NONE)
        if problem.temperature:
            values[tile.span] = _soft_maxima(products, problem.temperature)
        elif problem.top_k == 1 and places is None:
            values[tile.span] = products.amax(dim=1)
        else:
            found = None if places is None else places[:, tile.span]
            values[tile.span] = _highest(products, run.lengths[tile.span, None], problem.top_k, found)
    if places is not None and run.real is not None and run.real.shape[0]:
        # So far they count the document's real tokens.
        rows = run.real[(places + run.firsts.unsqueeze(1)).clamp_(max=run.real.shape[0] - 1)]
        places = (rows - run.starts.unsqueeze(1)).int().where(places >= 0, -1)
    return values, places


def _soft_maxima(products: Tensor, temperature: float) -> Tensor:
    """``temperature * logsumexp(products / temperature)`` of each document ``[documents, rows]``; changes products."""
    peak = products.amax(dim=1)
    # The difference of equal infinities is NaN, but the sum of their exponentials is not.
    peak.masked_fill_(peak.isinf(), 0.0)
    sums = products.sub_(peak.unsqueeze(1)).div_(temperature).exp_().sum(dim=1)
    return sums.log_().mul_(temperature).add_(peak)


def _highest(products: Tensor, lengths: Tensor, top_k: int, places: Tensor | None) -> Tensor:
    """The mean of each document's highest ``[documents, rows]``; fills places, changes products."""
    total = products.new_zeros(())
    for turn in range(min(top_k, products.shape[1])):
        peak = products.amax(dim=1)
        total = total + peak.where(turn < lengths, 0.0)
        last = turn + 1 == top_k
        if last and places is None:
            break
        # Products of one token and its repetition may be rounded apart, so that the repetition is higher.
        place = _first_equal(products, peak, reuse=last).minimum(lengths - 1)
        if places is not None:
            places[turn] = place.where(turn < lengths, -1)
        if not last:
            products.scatter_(1, place.unsqueeze(1), _NONE)
    return total / lengths.clamp(max=top_k)


def _first_equal(products: Tensor, peak: Tensor, *, reuse: bool) -> Tensor:
    """The lowest place ``[documents, rows]`` that holds the peak. ``reuse``: the products may be overwritten.

    Passes over floating-point numbers alone, which torch vectorises, take a tenth of the time of its argmax.
    """
    if peak.isnan().any():
        return products.max(dim=1).indices
    width = products.shape[1]
    backwards = torch.arange(width, 0, -1, dtype=peak.dtype).unsqueeze(1)
    hits = torch.eq(products, peak.unsqueeze(1), out=products if reuse else torch.empty_like(products))
    return (width - hits.mul_(backwards).amax(dim=1)).long()

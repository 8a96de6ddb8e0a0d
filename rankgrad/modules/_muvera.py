"""One repetition of MUVERA's encodings: a value a partition and text, hard or soft."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

# Encodings of a part of the documents, before the sketch: 2**24 floats are 64 MiB.
_PART_ELEMENTS = 1 << 24
_PART_TOKENS = 1 << 16


class Texts(NamedTuple):
    """Tokens of several texts, end to end.

    Shape:
        tokens ``[total, dim]``, owner int64 ``[total]``: the text of each
    """

    tokens: Tensor
    owner: Tensor
    count: int


def parts(lengths: Tensor, width: int) -> Iterator[Tensor]:
    """Lengths of a few documents at a time, whose encodings of ``width`` values and tokens fit in memory."""
    most = max(1, _PART_ELEMENTS // width)
    for few in lengths.split(most):
        # Documents whose tokens together begin a new share of the budget begin a new part.
        shares = few.cumsum(0).sub(1).clamp(min=0) // _PART_TOKENS
        yield from few.split(shares.unique_consecutive(return_counts=True)[1].tolist())


def draw_signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """-1 and 1, equally likely, in float32."""
    return torch.randint(2, shape, generator=generator).float() * 2 - 1


def draw_projection(repetitions: int, dim: int, width: int, sketch: bool, generator: torch.Generator) -> Tensor:
    """A projection a repetition ``[repetitions, dim, width]`` that keeps dot products in expectation."""
    if not sketch:
        return draw_signs((repetitions, dim, width), generator) / width**0.5
    places = torch.randint(width, (repetitions, dim, 1), generator=generator)
    signs = draw_signs((repetitions, dim, 1), generator)
    return torch.zeros(repetitions, dim, width).scatter(2, places, signs)


def partition_of(heights: Tensor) -> Tensor:
    """The partition, int64 ``[tokens]``, of ``<g, x>`` ``[tokens, bits]``: the signs, highest bit first, read as a Gray
    code.

    Example:
        >>> partition_of(torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])).tolist()
        [0, 1, 2, 3]
    """
    number = torch.zeros(len(heights), dtype=torch.long, device=heights.device)
    for bit in (heights > 0).long().unbind(1):
        number = 2 * number + (bit ^ (number & 1))
    return number


def partition_signs(bits: int, device: torch.device) -> Tensor:
    """The signs of each partition: bool ``[2 ** bits, bits]``, True above 0."""
    numbers = torch.arange(2**bits, device=device)
    gray = numbers ^ (numbers >> 1)
    return (gray.unsqueeze(1) >> torch.arange(bits - 1, -1, -1, device=device) & 1).bool()


def hard_block(texts: Texts, heights: Tensor, values: Tensor, *, mean: bool, fill: bool) -> Tensor:
    """Sums or means of the tokens of each partition ``[texts, partitions, width]``."""
    bits = heights.shape[1]
    partitions = 2**bits
    cells = texts.owner * partitions + partition_of(heights)
    total = texts.count * partitions
    sums = values.new_zeros(total, values.shape[1]).index_add(0, cells, values)
    if not mean:
        return sums.unflatten(0, (texts.count, partitions))
    counts = cells.bincount(minlength=total)
    means = sums / counts.clamp(min=1).unsqueeze(1)
    if fill and bits and len(values):
        source, found = _nearest(cells, total, partition_signs(bits, values.device))
        empty = (counts == 0) & found
        means = torch.where(empty.unsqueeze(1), values[source], means)
    return means.unflatten(0, (texts.count, partitions))


def soft_weights(heights: Tensor, temperature: float) -> Tensor:
    """How much of each token belongs to each partition, as a logarithm ``[tokens, partitions]``; shares add to 1."""
    signs = partition_signs(heights.shape[1], heights.device).to(heights.dtype)
    scaled = heights / temperature
    return logsigmoid(scaled) @ signs.T + logsigmoid(-scaled) @ (1 - signs).T


def soft_block(texts: Texts, weights: Tensor, values: Tensor, *, mean: bool, fill: bool) -> Tensor:
    """The same as :func:`hard_block` with tokens that belong to every partition, by the logarithms of their weights."""
    partitions = weights.shape[1]
    index = texts.owner.unsqueeze(1).expand(-1, partitions)
    if fill:
        # Means do not change where a text's weights in a partition are scaled alike; so none vanishes.
        peaks = weights.new_full((texts.count, partitions), -torch.inf)
        weights = weights - peaks.scatter_reduce(0, index, weights.detach(), "amax")[texts.owner]
    shares = weights.exp()
    products = (shares.unsqueeze(2) * values.unsqueeze(1)).flatten(1)
    sums = products.new_zeros(texts.count, products.shape[1]).index_add(0, texts.owner, products)
    sums = sums.unflatten(1, (partitions, -1))
    if not mean:
        return sums
    totals = shares.new_zeros(texts.count, partitions).index_add(0, texts.owner, shares)
    # Without filling, a partition with less than one token in all is 0 as far as it is empty.
    least = torch.finfo(totals.dtype).tiny if fill else 1.0
    return sums / totals.clamp(min=least).unsqueeze(2)


def _nearest(cells: Tensor, total: int, signs: Tensor) -> tuple[Tensor, Tensor]:
    """For each cell (text and partition) the token of its text with the fewest other signs, and whether there is one.

    Tokens of one partition are alike here, so that the first of each will do.
    """
    partitions = len(signs)
    tokens = len(cells)
    places = torch.arange(tokens, device=cells.device)
    first = torch.full((total,), tokens, device=cells.device).scatter_reduce(0, cells, places, "amin")
    first = first.unflatten(0, (-1, partitions))
    distances = (signs.unsqueeze(1) != signs).sum(2)
    nearest = torch.full_like(first, (len(signs[0]) + 1) * (tokens + 1))
    for partition in range(partitions):
        # One number orders by distance, then by place.
        key = distances[partition] * (tokens + 1) + first[:, partition, None]
        nearest = torch.where(first[:, partition, None] < tokens, nearest.minimum(key), nearest)
    nearest = nearest.flatten()
    found = nearest < (len(signs[0]) + 1) * (tokens + 1)
    return nearest.remainder(tokens + 1).clamp(max=tokens - 1), found

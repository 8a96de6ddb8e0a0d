"""The loops of the projection on a permutahedron, compiled by numba: of float32 lists that need no care.

``docs/ops/isotonic.md`` has the formulas. What these loops do not take, :mod:`cpu_projection` does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

# exp of these, and products of two of them, lie within float64.
_WIDEST = 300.0
_LAST = np.int64(0x7FFFFFFF) << 32


@njit(cache=True, nogil=True)
def pack(bits: Any, keys: Any, real: Any, descending: bool, limit: float, packed: Any, counts: Any) -> bool:
    """Write keys ``[lists, items]`` and their places as integers that sort as the keys do, masked ones at the end.

    Returns:
        Whether all real keys are numbers of at most ``limit``.
    """
    lists, n = keys.shape
    for row in range(lists):
        count = 0
        for column in range(n):
            place = row * n + column
            if not real[row, column]:
                packed[row, column] = _LAST | place
                continue
            if not abs(keys[row, column]) <= limit:
                return False
            count += 1
            # 0 and -0 are equal.
            value = np.int64(bits[row, column]) if keys[row, column] != 0.0 else np.int64(0)
            value ^= (value >> 31) & 0x7FFFFFFF
            packed[row, column] = ((~value if descending else value) << 32) | place
        counts[row] = count
    return True


@njit(cache=True, nogil=True)
def project(
    packed: Any,
    keys: Any,
    counts: Any,
    temperature: float,
    of_ranks: bool,
    logarithmic: bool,
    result: Any,
    begins: Any,
) -> None:
    """Turn sorted ``packed`` into places, and write the projection and which sorted items begin a block.

    The mean of ``onto - z``, or the ratio of sums of exponentials, rises from block to block. Blocks are kept on a
    stack: one that does not lie above the last is joined to it. Sums that float64 cannot hold are kept as logarithms.

    Args:
        packed: int64 ``[lists, items]``; changed.
        keys: float32 ``[lists * items]``.
        counts: real items of each list.
        temperature: above 0.
        of_ranks: ranks, written where each item was; else sorted values.
        logarithmic: regularised by entropy.
        result: float32 ``[lists * items]``, zeros.
        begins: bool ``[lists, items]``, all True.
    """
    lists, n = packed.shape
    z, onto = np.empty(n), np.empty(n)
    above, below = np.empty(n), np.empty(n)
    firsts = np.empty(n + 1, dtype=np.int64)
    for row in range(lists):
        count = counts[row]
        for column in range(n):
            packed[row, column] &= 0xFFFFFFFF
        if count == 0:
            continue
        for column in range(count):
            value = np.float64(keys[packed[row, column]])
            falling = np.float64(count - column)
            z[column] = -value / temperature if of_ranks else falling / temperature
            onto[column] = falling if of_ranks else value
        high, top = z[0], 0.0 if of_ranks else onto[0]
        wide = logarithmic and (high - z[count - 1] > _WIDEST or (not of_ranks and top - onto[count - 1] > _WIDEST))
        blocks = 0
        for column in range(count):
            a, b, first = onto[column] - z[column], 1.0, column
            if logarithmic:
                a, b = onto[column] - top, z[column] - high
                if wide:
                    a = np.log(a) if of_ranks else a
                else:
                    a, b = a if of_ranks else np.exp(a), np.exp(b)
            while blocks:
                last = blocks - 1
                if (above[last] - a < below[last] - b) if wide else (above[last] * b < a * below[last]):
                    break
                if wide:
                    a, b = _log_sum(above[last], a), _log_sum(below[last], b)
                else:
                    a, b = a + above[last], b + below[last]
                first, blocks = firsts[last], last
            above[blocks], below[blocks], firsts[blocks] = a, b, first
            blocks += 1
        firsts[blocks] = count
        for block in range(blocks):
            first, end = firsts[block], firsts[block + 1]
            if not logarithmic:
                shift = above[block] / below[block]
            elif wide:
                shift = above[block] - below[block] + top - high
            else:
                shift = np.log(above[block] / below[block]) + top - high
            for column in range(first, end):
                begins[row, column] = column == first
                value = onto[column]
                if end - first > 1:
                    value = z[column] + shift
                    if logarithmic and of_ranks:
                        value = np.exp(value)
                result[packed[row, column] if of_ranks else row * n + column] = value


@njit(cache=True, nogil=True)
def _log_sum(one: Any, other: Any) -> Any:
    """``log(exp(one) + exp(other))``."""
    return max(one, other) + np.log1p(np.exp(-abs(one - other)))


@njit(cache=True, nogil=True)
def differentiate(
    gradient: Any,
    keys: Any,
    real: Any,
    values: Any,
    places: Any,
    begins: Any,
    temperature: float,
    of_ranks: bool,
    logarithmic: bool,
    received: Any,
) -> bool:
    """Write the gradient of the keys; ``gradient``, ``keys``, ``values`` and ``received`` are ``[lists * items]``.

    Returns:
        Whether all real keys are finite; what is written is of no use where one is not.
    """
    lists, n = places.shape
    for row in range(lists):
        count = 0
        for column in range(row * n, row * n + n):
            if real[column]:
                if not np.isfinite(keys[column]):
                    return False
                count += 1
        first = 0
        while first < count:
            end = first + 1
            while end < count and not begins[row, end]:
                end += 1
            if end - first == 1:
                received[places[row, first]] = 0.0 if of_ranks else gradient[row * n + first]
                first = end
                continue
            total, weight = 0.0, 0.0
            high = np.float64(keys[places[row, first]])
            for column in range(first, end):
                place = places[row, column]
                given = np.float64(gradient[place if of_ranks else row * n + column])
                share = 1.0
                if logarithmic:
                    share = np.float64(values[place]) if of_ranks else np.exp(np.float64(keys[place]) - high)
                total += given * share if of_ranks else given
                weight += share
            mean = total / weight
            for column in range(first, end):
                place = places[row, column]
                if not of_ranks:
                    share = np.exp(np.float64(keys[place]) - high) if logarithmic else 1.0
                    received[place] = mean * share
                    continue
                share = np.float64(values[place]) if logarithmic else 1.0
                given = mean - np.float64(gradient[place])
                received[place] = given * share / temperature
            first = end
    return True

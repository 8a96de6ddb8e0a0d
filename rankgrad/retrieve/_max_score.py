"""The compiled loop behind a search of postings: documents that cannot reach the best k are left out early.

Terms are taken by the most that they can add. As soon as what the remaining terms can add together is less than the
k-th best score so far, no new document is taken in, and of the others only those that can still reach it are followed
(Turtle and Flood, "Query evaluation: strategies and optimizations", IPM 1995). Sums in this order only bound the
scores; what is returned is added in the order of the terms, as without this file, to the last bit.
"""

from __future__ import annotations

import numba
import numpy as np

# A look-up in a sorted list costs as much as reading so many of its entries one after another.
_LOOKUP = 32


@numba.njit(nogil=True, cache=True, error_model="numpy")
def rank_queries(queries, index, k, allowed, space, ids, scores):
    """Fill ``ids`` and ``scores`` for the queries from ``queries[0]`` up to ``queries[1]``; False for factors below 0.

    Args:
        queries: first, end, query starts, positions, float32 factors.
        index: term starts, uint32 rows, float32 weights, float32 most of each term.
        k: documents a query.
        allowed: bool ``[1 or queries, documents]``, or without a row where all are.
        space: float32 and uint32 ``[documents]`` and uint32 ``[documents / 32]``, of zeros, which are left so; and
            uint32 ``[documents]``.
        ids, scores: ``[queries, k]``; -1 and -inf where there is none.
    """
    first, end, starts, positions, factors = queries
    indptr, rows, weights, most = index
    totals, slots, bits, touched = space
    best, best_rows = np.empty(k, np.float32), np.empty(k, np.uint32)
    everything = np.ones(0, np.bool_)
    for term in range(starts[first], starts[end]):
        if not (factors[term] >= 0 and np.isfinite(factors[term])):
            return False
    for query in range(first, end):
        begin, terms = starts[query], starts[query + 1] - starts[query]
        mask = allowed[query % len(allowed)] if len(allowed) else everything
        order, left = _by_bound(positions[begin : begin + terms], factors[begin : begin + terms], most)
        slack = 1.0 + (terms + 2) * 2.0**-22
        count, threshold, closed = 0, 0.0, False
        # What the k-th best sum so far can be at most; before it exceeds what is left, there is nothing to close.
        reach = 0.0
        for step in range(terms):
            term = begin + order[step]
            low, high = indptr[positions[term]], indptr[positions[term] + 1]
            if count >= k and (closed or (left[step] < reach and 4 * (high - low) > count)):
                # Who stays below the threshold does not raise it.
                if _select(totals, touched, count, threshold, best, best_rows) == k:
                    threshold = max(threshold, best[0] / slack)
                reach = threshold * slack
                if left[step] * slack < threshold:
                    closed = True
                    count = _keep(totals, touched, count, left[step], slack, threshold)
            if closed:
                _follow(rows, weights, low, high, factors[term], totals, bits, touched, count)
            else:
                count = _add(rows, weights, low, high, factors[term], mask, totals, touched, count)
            reach += left[step] - (left[step + 1] if step + 1 < terms else 0.0)
        size = _select(totals, touched, count, threshold / slack, best, best_rows)
        if terms > 2:
            if size == k:
                count = _keep(totals, touched, count, 0.0, slack, max(threshold, best[0] / slack))
            _exact(queries, index, query, totals, slots, touched, count)
            size = _select(totals, touched, count, threshold / slack, best, best_rows)
        _sort(best, best_rows, size)
        for place in range(size):
            ids[query, place], scores[query, place] = best_rows[place], best[place]
        for place in range(size, k):
            ids[query, place], scores[query, place] = -1, -np.inf
        for place in range(count):
            totals[touched[place]] = 0
    return True


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _by_bound(positions, factors, most):
    """The terms by what they can add at most, and what those from each on can add together."""
    terms = len(positions)
    bounds = np.empty(terms, np.float64)
    order = np.empty(terms, np.int64)
    for term in range(terms):
        bound = np.float64(most[positions[term]]) * np.float64(factors[term])
        place = term
        while place > 0 and bounds[place - 1] < bound:
            bounds[place], order[place] = bounds[place - 1], order[place - 1]
            place -= 1
        bounds[place], order[place] = bound, term
    for place in range(terms - 2, -1, -1):
        bounds[place] += bounds[place + 1]
    return order, bounds


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _add(rows, weights, low, high, factor, mask, totals, touched, count):
    """Add a term to all of its documents; those met for the first time are noted."""
    masked = len(mask) > 0
    for entry in range(low, high):
        row = rows[entry]
        value = weights[entry] * factor
        before = totals[row]
        if before == 0:
            if value <= 0 or (masked and not mask[row]):
                continue
            touched[count] = row
            count += 1
        totals[row] = before + value
    return count


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _follow(rows, weights, low, high, factor, totals, bits, touched, count):
    """Add a term to the documents noted, by reading its list or by looking them up, whatever is less."""
    if high - low < _LOOKUP * count:
        # A bit a document stays in the nearest cache, where the sums do not.
        for place in range(count):
            bits[touched[place] >> 5] |= np.uint32(1) << (touched[place] & np.uint32(31))
        for entry in range(low, high):
            row = rows[entry]
            if (bits[row >> 5] >> (row & np.uint32(31))) & np.uint32(1):
                totals[row] += weights[entry] * factor
        for place in range(count):
            bits[touched[place] >> 5] = 0
        return
    for place in range(count):
        row = touched[place]
        entry = _find(rows, low, high, row)
        if entry < high and rows[entry] == row:
            totals[row] += weights[entry] * factor


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _find(rows, low, high, row):
    """The first entry from ``low`` up to ``high`` whose row is not below ``row``."""
    size = high - low
    while size > 1:
        half = size >> 1
        low += half if rows[low + half - 1] < row else 0
        size -= half
    return low + (size == 1 and rows[low] < row)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _keep(totals, touched, count, left, slack, threshold):
    """Forget the documents that stay below the threshold even with what is left."""
    kept = 0
    for place in range(count):
        row = touched[place]
        if (totals[row] + left) * slack < threshold:
            totals[row] = 0
        else:
            touched[kept] = row
            kept += 1
    return kept


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _exact(queries, index, query, totals, slots, touched, count):
    """The sums of the documents noted once more, in the order of the terms."""
    _, _, starts, positions, factors = queries
    indptr, rows, weights, _ = index
    sums = np.zeros(count, np.float32)
    for place in range(count):
        slots[touched[place]] = place + 1
    for term in range(starts[query], starts[query + 1]):
        low, high = indptr[positions[term]], indptr[positions[term] + 1]
        if high - low < _LOOKUP * count:
            for entry in range(low, high):
                slot = slots[rows[entry]]
                if slot > 0:
                    sums[slot - 1] += weights[entry] * factors[term]
        else:
            for place in range(count):
                entry = _find(rows, low, high, touched[place])
                if entry < high and rows[entry] == touched[place]:
                    sums[place] += weights[entry] * factors[term]
    for place in range(count):
        totals[touched[place]] = sums[place]
        slots[touched[place]] = 0


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _select(totals, touched, count, floor, best, best_rows):
    """Put the best of the totals from ``floor`` on into a heap with the worst on top; how many there are."""
    k, size = len(best), 0
    for place in range(count):
        row = touched[place]
        total = totals[row]
        if total < floor:
            continue
        if size < k:
            best[size], best_rows[size] = total, row
            size += 1
            if size == k:
                _heapify(best, best_rows, size)
        elif _worse(best[0], best_rows[0], total, row):
            best[0], best_rows[0] = total, row
            _sink(best, best_rows, 0, size)
    if size < k:
        _heapify(best, best_rows, size)
    return size


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _heapify(best, best_rows, size):
    for top in range(size // 2 - 1, -1, -1):
        _sink(best, best_rows, top, size)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sort(best, best_rows, size):
    """A heap with the worst on top, from the best down."""
    for end in range(size - 1, 0, -1):
        best[0], best[end] = best[end], best[0]
        best_rows[0], best_rows[end] = best_rows[end], best_rows[0]
        _sink(best, best_rows, 0, end)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _sink(best, best_rows, place, size):
    value, row = best[place], best_rows[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _worse(best[child + 1], best_rows[child + 1], best[child], best_rows[child]):
            child += 1
        if _worse(value, row, best[child], best_rows[child]):
            break
        best[place], best_rows[place] = best[child], best_rows[child]
        place = child
    best[place], best_rows[place] = value, row


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _worse(value, row, other, other_row):
    return value < other or (value == other and row > other_row)

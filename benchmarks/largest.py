"""The largest size that fits a budget, found by measuring alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

_GROWTH = 4.0


def sizes(first: int, last: int) -> list[int]:
    """Sizes in four steps a doubling.

    Example:
        >>> sizes(4, 20)
        [4, 5, 6, 7, 8, 10, 12, 14, 16, 20]
    """
    found = []
    power = 4
    while power <= last:
        found += [power + step * power // 4 for step in range(4)]
        power *= 2
    return [size for size in found if first <= size <= last]


def largest(cost: Callable[[int], float], budget: float, among: Sequence[int]) -> int | None:
    """The largest size whose cost is within the budget while the next one's is not; both were measured.

    Doubles as long as a cost that grows with the square of the size must still fit, then goes in half doublings, then
    bisects; a size is never asked for that costs far more than the budget.

    Args:
        cost: what a size takes; grows with the size. Asked again for the same size, it should remember.
        budget: in the unit of ``cost``.
        among: ascending sizes in four steps a doubling, the last of which does not fit.

    Returns:
        None where the first size does not fit.

    Raises:
        ValueError: where the last size fits, so that the largest is not among the sizes.
    """
    low = -1
    high = 0
    while high < len(among) and cost(among[high]) <= budget:
        low = high
        high += 4 if _GROWTH * cost(among[low]) <= budget else 2
    high = min(high, len(among) - 1)
    if cost(among[high]) <= budget:
        raise ValueError(f"among: size {among[high]} fits the budget of {budget:g}; offer larger ones")
    while high - low > 1:
        middle = (low + high) // 2
        if cost(among[middle]) <= budget:
            low = middle
        else:
            high = middle
    return None if low < 0 else among[low]

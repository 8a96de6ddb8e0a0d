"""What the soft-ranking cases measure: shapes, passes, and how much work is begun at all."""

from __future__ import annotations

from typing import NamedTuple

RANK, SORT, TOP_K = "soft_rank", "soft_sort", "soft_top_k"
CASES = (RANK, SORT, TOP_K)
PEAK = "peak memory of forward and backward beyond the inputs"
VALUES, GRADIENTS = "difference of values", "difference of gradients"

BATCHES = (1, 32, 1024, 8192)
LENGTHS = (32, 128, 1024, 4096, 32768, 1 << 20)
# Shapes that others quote come first: where time runs out, it is the grid's end that is missing.
_QUOTED = {"cpu": ((64, 1000), (8, 10000)), "cuda": ((1024, 1000), (64, 4096), (8192, 100), (64, 1000), (8, 10000))}
_QUICK = ((3, 16),)
# At most so many values, and pairs of values, in one call. What is beyond is named in a line and not measured.
MOST_ITEMS = {"cpu": 1 << 20, "cuda": 1 << 25}
MOST_PAIRS = {"cpu": 1 << 26, "cuda": 1 << 31}
MOST_LOOPS = 1024


class Pass(NamedTuple):
    """What is inside the clock."""

    metric: str
    backward: bool


FORWARD = Pass("time of the forward pass", backward=False)
BOTH = Pass("time of forward and backward", backward=True)
PASSES = (FORWARD, BOTH)
# Microseconds that passes are meant to take on an H200, by case, method and shape.
TARGETS = {(RANK, "sigmoid", 1024, 1000): {FORWARD.metric: 300.0, BOTH.metric: 750.0}}


class Shape(NamedTuple):
    """So many lists of so many values."""

    batch: int
    items: int

    @property
    def k(self) -> int:
        """How many items a top-k takes of a list."""
        return max(1, self.items // 8)

    def name(self, method: str, *, device: str, threads: int) -> str:
        """What the rows of a method are called.

        Example:
            >>> Shape(64, 1000).name("isotonic", device="cpu", threads=2)
            '64 x 1000, isotonic, fp32, 2 threads'
        """
        return f"{self.batch} x {self.items}, {method}, fp32" + (
            f", {threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else ""
        )


def shapes(device: str, *, quick: bool) -> list[Shape]:
    """The shapes of a run."""
    if quick:
        return [Shape(*each) for each in _QUICK]
    grid = ((batch, items) for items in LENGTHS for batch in BATCHES)
    return [Shape(*each) for each in (*_QUOTED[device], *grid)]


def too_much(shape: Shape, pairs: float, *, device: str, loops: bool = False) -> str:
    """Why a call is not begun; empty where it is.

    Args:
        shape: the lists.
        pairs: what a pair of values of one list costs the provider, in units of one; 0 where its cost grows with the
            values and not with their pairs.
        device: where.
        loops: the provider takes one list after another.

    Example:
        >>> too_much(Shape(8192, 1024), 0.0, device="cpu")
        '8,388,608 values, more than 1,048,576'
        >>> too_much(Shape(1024, 1024), 0.25, device="cpu"), too_much(Shape(1024, 256), 0.25, device="cpu")
        ('268,435,456 pairs (0.25 each), more than 67,108,864', '')
    """
    if shape.batch * shape.items > MOST_ITEMS[device]:
        return f"{shape.batch * shape.items:,} values, more than {MOST_ITEMS[device]:,}"
    if loops and shape.batch > MOST_LOOPS:
        return f"{shape.batch:,} lists, one at a time, more than {MOST_LOOPS:,}"
    found = pairs * shape.batch * shape.items**2
    if found > MOST_PAIRS[device]:
        return f"{found:,.0f} pairs ({pairs:g} each), more than {MOST_PAIRS[device]:,}"
    return ""

"""The stable order of lists, their sorted values and their ranks, in one launch."""

from rankgrad.ops.sorted_order.api import kernels_run, order, ranks, sorted_lists

__all__ = ["kernels_run", "order", "ranks", "sorted_lists"]

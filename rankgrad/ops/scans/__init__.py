"""Running sums along a list, and sums of the segments of a packed axis."""

from rankgrad.ops.scans.reverse_sums import reverse_logcumsumexp
from rankgrad.ops.scans.segments import segment_sum

__all__ = ["reverse_logcumsumexp", "segment_sum"]

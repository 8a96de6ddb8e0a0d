"""Sorting a list in registers: value and place are one integer."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

# Above every key of 32 bits: what is no item sorts behind all that are.
NOBODY = tl.constexpr(1 << 31)
# Bits of a place, so lists of at most 4096.
_PLACE_BITS = tl.constexpr(12)
_PLACES = tl.constexpr((1 << 12) - 1)
_UNKNOWN = tl.constexpr(0x7FC00000)


@triton.jit
def ordered_bits(values):
    """int32 in the order of float32 values: the bits of a negative one fall as it rises. -0 and 0 differ."""
    bits = values.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def values_of(bits):
    """The float32 values of :func:`ordered_bits`."""
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).to(tl.float32, bitcast=True)


@triton.jit
def sort_with_places(keys, real, place):
    """Rising int32 keys, among equals by place, real ones first; where each came from, and which are real."""
    packed = (tl.where(real, keys.to(tl.int64), NOBODY) << _PLACE_BITS) | place.to(tl.int64)
    packed = tl.sort(packed, 0)
    keys = packed >> _PLACE_BITS
    return keys.to(tl.int32), (packed & _PLACES).to(tl.int32), keys < NOBODY


@triton.jit
def _sorted_order_kernel(
    x_ptr,  # [lists, n] of at most 32 bits
    mask_ptr,  # [lists, n] uint8
    sorted_ptr,  # [lists, n] as x
    order_ptr,  # [lists, n] int64
    ranks_ptr,  # [lists, n] float32
    stride_list,
    n,
    MASKED: tl.constexpr,
    DESCENDING: tl.constexpr,
    RANKS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A list a program: its ranks, or its sorted values and their order."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < n
    real = inside
    if MASKED:
        real = real & (tl.load(mask_ptr + row * n + place, mask=inside, other=0) != 0)
    x = tl.load(x_ptr + row * stride_list + place, mask=real, other=0)
    if x.dtype.is_floating():
        x = x.to(tl.float32)
        # Adding 0 makes -0 equal 0. All NaN are equal, and above infinity.
        keys = tl.where(x == x, ordered_bits(x + 0.0), _UNKNOWN)
        unknown = tl.max((x != x).to(tl.int32), 0)
    else:
        keys = x.to(tl.int32)
        unknown = 0
    if DESCENDING:
        keys = ~keys
    _, source, present = sort_with_places(keys, real, place)
    if RANKS:
        ranks = tl.where(unknown != 0, float("nan"), (place + 1).to(tl.float32))
        tl.store(ranks_ptr + row * n + source, tl.where(present, ranks, 0.0), mask=source < n)
    else:
        tl.store(order_ptr + row * n + place, source.to(tl.int64), mask=inside)
        # Read again, since a key does not know its value's bits.
        found = tl.load(x_ptr + row * stride_list + source, mask=inside, other=0)
        tl.store(sorted_ptr + row * n + place, found, mask=inside)

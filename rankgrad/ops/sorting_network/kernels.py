"""Triton kernels of sorting networks; a program takes one list through all layers without leaving its registers."""

# Triton's language gives Python's operators other types than pyright knows.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportCallIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

import triton
import triton.language as tl

PI = tl.constexpr(3.141592653589793)
_RUNTIME = ["lists", "items", "width", "layers"]


@triton.jit
def _following(stage, step, BITONIC: tl.constexpr):
    """The stage and step of the layer after one: a bitonic stage of s has s layers, steps s - 1 to 0."""
    if BITONIC:
        ends = step == 0
        stage = tl.where(ends, stage + 1, stage)
        step = tl.where(ends, stage - 1, step - 1)
    else:
        stage += 1
    return stage, step


@triton.jit
def _preceding(stage, step, BITONIC: tl.constexpr):
    """The stage and step of the layer before one."""
    if BITONIC:
        starts = step == stage - 1
        stage = tl.where(starts, stage - 1, stage)
        step = tl.where(starts, 0, step + 1)
    else:
        stage -= 1
    return stage, step


@triton.jit
def _first(BITONIC: tl.constexpr):
    """Stage and step of the first layer; layers of the other network are numbered by their stage, from 0."""
    return (1, 0) if BITONIC else (0, 0)


@triton.jit
def _last(layers, BLOCK: tl.constexpr, BITONIC: tl.constexpr):
    """Stage and step of the last layer."""
    if BITONIC:
        stage = 0
        size = BLOCK
        while size > 1:
            size = size // 2
            stage += 1
        return stage, 0
    return layers - 1, 0


@triton.jit
def _partner(wires, stage, step, items, BITONIC: tl.constexpr):
    """Whom each wire is compared with, itself where nobody is, and how many items a list has more than."""
    if BITONIC:
        partner = wires ^ tl.where(step == stage - 1, (1 << stage) - 1, 1 << step)
        least = 1 << (stage - 1)
    else:
        partner = wires + 1 - 2 * ((wires + stage) % 2)
        least = stage
    return tl.where((partner < 0) | (partner >= items), wires, partner), least


@triton.jit
def _arctangent(x):
    """Cephes' atanf: three ranges, a polynomial of degree 9, two units in the last place."""
    size = tl.abs(x)
    far = size > 2.414213562373095
    middle = (size > 0.4142135623730950) & ~far
    divisor = tl.where(far, size, tl.where(middle, size + 1.0, 1.0))
    reduced = tl.where(far, -1.0, tl.where(middle, size - 1.0, size)) / divisor
    start = tl.where(far, PI / 2, tl.where(middle, PI / 4, 0.0))
    square = reduced * reduced
    series = ((8.05374449538e-2 * square - 1.38776856032e-1) * square + 1.99777106478e-1) * square - 3.33329491539e-1
    result = start + (series * square * reduced + reduced)
    return tl.where(x < 0, -result, result)


@triton.jit
def _cumulative(v, DISTRIBUTION: tl.constexpr):
    """In the order of ``distributions.DISTRIBUTIONS``."""
    if DISTRIBUTION == 0:
        return 1.0 / (1.0 + tl.exp(-v))
    elif DISTRIBUTION == 1:
        return _arctangent(v) / PI + 0.5
    elif DISTRIBUTION == 2:
        return 0.5 + 0.5 * tl.erf(v * 0.7071067811865476)
    near = tl.abs(v) <= 0.25
    tail = 1.0 / (16.0 * tl.where(near, 1.0, v))
    return tl.where(near, v + 0.5, tl.where(v > 0, 1.0 - tail, -tail))


@triton.jit
def _density(v, DISTRIBUTION: tl.constexpr):
    if DISTRIBUTION == 0:
        share = 1.0 / (1.0 + tl.exp(tl.abs(v)))
        return share * (1.0 - share)
    elif DISTRIBUTION == 1:
        return 1.0 / (PI * (1.0 + v * v))
    elif DISTRIBUTION == 2:
        return tl.exp(v * v * -0.5) * 0.3989422804014327
    return 1.0 / (16.0 * tl.maximum(v * v, 0.0625))


@triton.jit
def _mix(other, own, share):
    """All of its own at share 1, also beside a number that would swallow it."""
    return tl.where(share < 0.5, other + share * (own - other), own - (1.0 - share) * (own - other))


@triton.jit
def _apart(own, other, wires, partner, least, count, inverse):
    """Temperatures from the lower to the upper wire, and where the two are compared."""
    compared = (partner != wires) & (tl.maximum(partner, wires) < count) & (least < count)
    apart = tl.where(partner > wires, own - other, other - own) * inverse
    return tl.where(compared, apart, 0.0), compared


@triton.jit(do_not_specialize=_RUNTIME)
def _network_wires_kernel(
    x_ptr,  # [lists, items] float32
    count_ptr,  # [lists] int64
    found_ptr,  # [layers + 1, lists, items] float32, [1, lists, items] without KEEP
    lists,
    items,
    layers,
    inverse,
    DISTRIBUTION: tl.constexpr,
    KEEP: tl.constexpr,
    BITONIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """What stands on a list's wires before each layer and after the last; ``inverse`` is 1 / temperature."""
    place = tl.program_id(0).to(tl.int64)
    wires = tl.arange(0, BLOCK)
    here = wires < items
    count = tl.load(count_ptr + place)
    own = tl.load(x_ptr + place * items + wires, mask=here, other=0.0)
    found_ptr += place * items
    apart_layers = lists.to(tl.int64) * items
    stage, step = _first(BITONIC)
    for _ in range(layers):
        if KEEP:
            tl.store(found_ptr + wires, own, mask=here)
            found_ptr += apart_layers
        partner, least = _partner(wires, stage, step, items, BITONIC)
        other = tl.gather(own, partner, 0)
        apart, compared = _apart(own, other, wires, partner, least, count, inverse)
        own = _mix(other, own, tl.where(compared, _cumulative(apart, DISTRIBUTION), 1.0))
        stage, step = _following(stage, step, BITONIC)
    tl.store(found_ptr + wires, own, mask=here)


@triton.jit(do_not_specialize=_RUNTIME)
def _network_wires_backward_kernel(
    gradients_ptr,  # [layers + 1, lists, items] float32
    found_ptr,  # [layers + 1, lists, items] float32
    count_ptr,  # [lists] int64
    result_ptr,  # [lists, items] float32
    lists,
    items,
    layers,
    inverse,
    DISTRIBUTION: tl.constexpr,
    BITONIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of a list's values, from those of all wires."""
    place = tl.program_id(0).to(tl.int64)
    wires = tl.arange(0, BLOCK)
    here = wires < items
    count = tl.load(count_ptr + place)
    apart_layers = lists.to(tl.int64) * items
    gradients_ptr += layers * apart_layers + place * items
    found_ptr += layers * apart_layers + place * items
    total = tl.load(gradients_ptr + wires, mask=here, other=0.0)
    stage, step = _last(layers, BLOCK, BITONIC)
    for _ in range(layers):
        gradients_ptr -= apart_layers
        found_ptr -= apart_layers
        partner, least = _partner(wires, stage, step, items, BITONIC)
        own = tl.load(found_ptr + wires, mask=here, other=0.0)
        other = tl.load(found_ptr + partner, mask=here, other=0.0)
        theirs = tl.gather(total, partner, 0)
        apart, compared = _apart(own, other, wires, partner, least, count, inverse)
        pull = _density(apart, DISTRIBUTION) * inverse * (own - other) * (total - theirs)
        pull = tl.where(compared, tl.where(partner > wires, pull, -pull), 0.0)
        share = tl.where(compared, _cumulative(apart, DISTRIBUTION), 1.0)
        total = _mix(theirs, total, share) + pull + tl.load(gradients_ptr + wires, mask=here, other=0.0)
        stage, step = _preceding(stage, step, BITONIC)
    tl.store(result_ptr + place * items + wires, total, mask=here)


@triton.jit(do_not_specialize=_RUNTIME)
def _network_push_kernel(
    values_ptr,  # [lists, width, items] float32
    share_ptr,  # [layers, lists, items] float32
    found_ptr,  # [1, lists, width, items] float32, [layers, lists, width, items] with KEEP
    lists,
    items,
    width,
    layers,
    REVERSE: tl.constexpr,
    KEEP: tl.constexpr,
    BITONIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One feature of a list through its network; what stands before a layer is kept under the layer's number."""
    row = tl.program_id(0).to(tl.int64)
    wires = tl.arange(0, BLOCK)
    here = wires < items
    own = tl.load(values_ptr + row * items + wires, mask=here, other=0.0)
    share_ptr += row // width * items
    found_ptr += row * items
    apart_layers = lists.to(tl.int64) * items
    stage, step = _last(layers, BLOCK, BITONIC) if REVERSE else _first(BITONIC)
    for index in range(layers):
        layer = layers - 1 - index if REVERSE else index
        if KEEP:
            tl.store(found_ptr + layer * width * apart_layers + wires, own, mask=here)
        partner, _least = _partner(wires, stage, step, items, BITONIC)
        share = tl.load(share_ptr + layer * apart_layers + wires, mask=here, other=1.0)
        own = _mix(tl.gather(own, partner, 0), own, share)
        stage, step = _preceding(stage, step, BITONIC) if REVERSE else _following(stage, step, BITONIC)
    if not KEEP:
        tl.store(found_ptr + wires, own, mask=here)


@triton.jit(do_not_specialize=_RUNTIME)
def _network_push_backward_kernel(
    gradient_ptr,  # [lists, width, items] float32
    share_ptr,  # [layers, lists, items] float32
    stood_ptr,  # [layers, lists, width, items] float32
    of_share_ptr,  # [layers, lists, items] float32, zeros
    of_values_ptr,  # [lists, width, items] float32
    lists,
    items,
    width,
    layers,
    REVERSE: tl.constexpr,
    BITONIC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradients of a list's shares and values, one feature after another, so that the sum has one order."""
    place = tl.program_id(0).to(tl.int64)
    wires = tl.arange(0, BLOCK)
    here = wires < items
    share_ptr += place * items
    of_share_ptr += place * items
    apart_layers = lists.to(tl.int64) * items
    for feature in range(width):
        row = (place * width + feature) * items
        total = tl.load(gradient_ptr + row + wires, mask=here, other=0.0)
        stage, step = _first(BITONIC) if REVERSE else _last(layers, BLOCK, BITONIC)
        for index in range(layers):
            layer = index if REVERSE else layers - 1 - index
            partner, _least = _partner(wires, stage, step, items, BITONIC)
            stood = stood_ptr + layer * width * apart_layers + row
            own = tl.load(stood + wires, mask=here, other=0.0)
            other = tl.load(stood + partner, mask=here, other=0.0)
            shares = of_share_ptr + layer * apart_layers + wires
            tl.store(shares, tl.load(shares, mask=here, other=0.0) + (own - other) * total, mask=here)
            share = tl.load(share_ptr + layer * apart_layers + wires, mask=here, other=1.0)
            # What a wire does not keep of its own goes to its partner.
            total = total * share + tl.gather(total * (1.0 - share), partner, 0)
            stage, step = _following(stage, step, BITONIC) if REVERSE else _preceding(stage, step, BITONIC)
        tl.store(of_values_ptr + row + wires, total, mask=here)

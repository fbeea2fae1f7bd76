"""Partial sums: where runs that cross the borders of chunks are put together, and rows are stored.

Level by level while spans are many; where they are few, whoever closes a run walks back to where it began, and others
fill the rows that no run has.
"""

import triton
import triton.language as tl

from .fill import fill_untouched
from .number import runs_before


@triton.jit
def store_sum(out_ptr, row, acc, length, d, mask, mask_d, D: tl.constexpr, SCALE: tl.constexpr):
    """out[row] = acc, over the run's length when asked, rounded once."""
    if SCALE:
        number = tl.maximum(length, 1)[:, None].to(acc.dtype)
        # a bare division of float32 is approximate on NVIDIA
        acc = acc / number if acc.dtype == tl.float64 else tl.div_rn(acc, number)
    tl.store(
        out_ptr + row[:, None] * D + d[None, :],
        acc.to(out_ptr.dtype.element_ty),
        mask=mask[:, None] & mask_d,
    )


@triton.jit
def store_partial(partial_ptr, length_ptr, slot, place, acc, length, d, mask, mask_d, D: tl.constexpr,
                  SCALE: tl.constexpr):  # fmt: skip
    """partial[slot] = acc, and length[place] its number of lookups when there will be something to divide."""
    tl.store(partial_ptr + slot[:, None] * D + d[None, :], acc, mask=mask[:, None] & mask_d)
    if SCALE:
        # every tile of columns stores the same length
        tl.store(length_ptr + place, length, mask=mask)


@triton.jit(do_not_specialize=["V", "N", "span", "gap", "fan_in"])
def merge_partials_kernel(
    keys_ptr,  # [N], sorted
    partial_ptr,  # [N / span, gap, D], ACC
    length_ptr,  # [N / span, 2], int64
    next_length_ptr,  # [N / (span * fan_in), 2], int64
    out_ptr,  # [V, D], contiguous
    V,
    N,
    span,
    gap,
    fan_in,
    D: tl.constexpr,
    SCALE: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / (span * fan_in) / BLOCK_C, D / BLOCK_D). A program walks BLOCK_C groups of fan_in spans in step.

    A run that is closed here and began in the group is stored; one that crosses the group's border
    leaves a partial in the group's own slot. Which slots of a span are in use, the sorted keys at its
    borders say; nothing is read from the others. The first two of a span's `gap` slots are its head and
    its tail; a group's are those of its first span, which nobody else reads, and this program has by then. Lengths,
    which programs of other columns read too, go elsewhere.
    """
    group = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    d = tl.program_id(1).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask_d = d[None, :] < D

    acc = tl.zeros([BLOCK_C, BLOCK_D], ACC)
    length = tl.zeros([BLOCK_C], tl.int64)
    inside = group < 0  # whether the open run began in this group
    leaves = group < 0  # whether a run crosses the right border of the span
    for step in range(fan_in):
        child = group * fan_in + step
        begin = child * span
        end = begin + span
        before = tl.load(keys_ptr + begin - 1, mask=(begin > 0) & (begin < N), other=-1).to(tl.int64)
        first = tl.load(keys_ptr + begin, mask=begin < N, other=V).to(tl.int64)
        last = tl.load(keys_ptr + end - 1, mask=end < N, other=V).to(tl.int64)
        after = tl.load(keys_ptr + end, mask=end < N, other=V).to(tl.int64)
        enters = (first == before) & (first < V)
        leaves = (last == after) & (last < V)
        through = enters & leaves & (first == last)
        closes = enters & (through == 0)
        opens = leaves & (through == 0)

        head = (child * gap)[:, None] * D + d[None, :]
        acc += tl.load(partial_ptr + head, mask=enters[:, None] & mask_d, other=0)
        if SCALE:
            length += tl.load(length_ptr + child * 2, mask=enters, other=0)
        store_sum(out_ptr, first, acc, length, d, closes & inside, mask_d, D, SCALE)
        outer = closes & (inside == 0)
        store_partial(partial_ptr, next_length_ptr, group * fan_in * gap, group * 2, acc, length, d, outer, mask_d, D,
                      SCALE)  # fmt: skip

        acc = tl.where(through[:, None], acc, 0.0)
        acc += tl.load(partial_ptr + head + D, mask=opens[:, None] & mask_d, other=0)
        if SCALE:
            length = tl.where(through, length, 0)
            length += tl.load(length_ptr + child * 2 + 1, mask=opens, other=0)
        inside = inside | opens
    tail = inside.to(tl.int64)
    slot, place = group * fan_in * gap + tail, group * 2 + tail
    store_partial(partial_ptr, next_length_ptr, slot, place, acc, length, d, leaves, mask_d, D, SCALE)


@triton.jit
def _walk(keys_ptr, begins_ptr, partial_ptr, length_ptr, out_ptr, last, start, V, N, span, gap,
          D: tl.constexpr, SCALE: tl.constexpr, NUMBER: tl.constexpr, ACC: tl.constexpr, BLOCK_C: tl.constexpr,
          BLOCK_D: tl.constexpr):  # fmt: skip
    """Stores BLOCK_D columns of the run that came over the left border of the span `last` and ends in it, if one did.

    Adds up its partial sums from there to the span where it began, BLOCK_C of them at a time.
    """
    d = start + tl.arange(0, BLOCK_D)
    mask_d = d[None, :] < D
    begin = last * span
    end = begin + span
    key = tl.load(keys_ptr + begin, mask=begin < N, other=V).to(tl.int64)
    before = tl.load(keys_ptr + begin - 1, mask=(begin > 0) & (begin < N), other=-1).to(tl.int64)
    after = tl.load(keys_ptr + end, mask=end < N, other=V).to(tl.int64)
    if (key < V) & (key == before) & (key != after):
        acc = tl.zeros([1, BLOCK_D], ACC)
        length = tl.zeros([1], tl.int64)
        back = tl.arange(0, BLOCK_C)
        newest = last
        while newest >= 0:
            child = newest - back
            # where the run was there one position earlier, it came in, and is the head; where it began, the tail
            border = child * span - 1
            came = tl.load(keys_ptr + border, mask=border >= 0, other=-1).to(tl.int64) == key
            follows = tl.load(keys_ptr + border + span, mask=(child >= 0) & (border + span < N), other=-1) == key
            mine = (child >= 0) & (came | follows)
            tail = (came == 0).to(tl.int64)
            slot = child * gap + tail
            row = tl.load(partial_ptr + slot[:, None] * D + d[None, :], mask=mine[:, None] & mask_d, other=0)
            acc += tl.sum(row, axis=0)[None, :]
            if SCALE:
                length += tl.sum(tl.load(length_ptr + child * 2 + tail, mask=mine, other=0), axis=0)
            newest = tl.where(tl.min(came.to(tl.int32), axis=0) > 0, newest - BLOCK_C, -1)
        row = key
        if NUMBER:
            row = runs_before(begins_ptr, begin + 1).to(tl.int64) - 1
        whole = tl.zeros([1], tl.int64)
        store_sum(out_ptr, whole + row, acc, length, d, whole == 0, mask_d, D, SCALE)


@triton.jit(do_not_specialize=["V", "N", "span", "gap", "walks"])
def finish_kernel(
    keys_ptr,  # [N], sorted
    begins_ptr,  # [N], int8, if NUMBER
    partial_ptr,  # [N / span, gap, D], ACC
    length_ptr,  # [N / span, 2], int64
    out_ptr,  # [V, D] or, if NUMBER, [U, D], contiguous
    V,
    N,
    span,
    gap,
    walks,
    D: tl.constexpr,
    SCALE: tl.constexpr,
    NUMBER: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK_V: tl.constexpr,
    FILL_D: tl.constexpr,
):
    """Grid (walks + V / BLOCK_V). The first programs walk, one for each span and BLOCK_D columns, if there are several.

    A run ends in one span, so that every row is stored once. The others, if BLOCK_V is not 0, set to zero those of
    BLOCK_V rows that have no run.
    """
    program = tl.program_id(0)
    if program < walks:
        TILES: tl.constexpr = (D + BLOCK_D - 1) // BLOCK_D
        last = (program // TILES).to(tl.int64)
        start = (program % TILES).to(tl.int64) * BLOCK_D
        _walk(keys_ptr, begins_ptr, partial_ptr, length_ptr, out_ptr, last, start, V, N, span, gap, D, SCALE,
              NUMBER, ACC, BLOCK_C, BLOCK_D)  # fmt: skip
    elif BLOCK_V > 0:
        fill_untouched(keys_ptr, out_ptr, (program - walks).to(tl.int64), V, N, D, BLOCK_V, FILL_D)

"""Partial sums: where runs that cross the borders of chunks are put together, and rows are stored."""

import triton
import triton.language as tl


@triton.jit
def store_sum(out_ptr, key, acc, length, d, mask, mask_d, D: tl.constexpr, SCALE: tl.constexpr):
    """out[key] = acc, over the run's length when asked, rounded once."""
    if SCALE:
        number = tl.maximum(length, 1)[:, None].to(acc.dtype)
        # a bare division of float32 is approximate on NVIDIA
        acc = acc / number if acc.dtype == tl.float64 else tl.div_rn(acc, number)
    tl.store(
        out_ptr + key[:, None] * D + d[None, :],
        acc.to(out_ptr.dtype.element_ty),
        mask=mask[:, None] & mask_d,
    )


@triton.jit
def store_partial(partial_ptr, length_ptr, slot, acc, length, d, mask, mask_d, D: tl.constexpr, SCALE: tl.constexpr):
    """partial[slot] = acc, and its number of lookups when there will be something to divide."""
    tl.store(partial_ptr + slot[:, None] * D + d[None, :], acc, mask=mask[:, None] & mask_d)
    if SCALE:
        # every tile of columns stores the same length
        tl.store(length_ptr + slot, length, mask=mask)


@triton.jit(do_not_specialize=["V", "N", "span", "fan_in"])
def merge_partials_kernel(
    keys_ptr,  # [N], sorted
    partial_ptr,  # [N / span, 2, D], ACC
    length_ptr,  # [N / span, 2], int64
    out_ptr,  # [V, D], contiguous
    next_partial_ptr,  # [N / (span * fan_in), 2, D], ACC
    next_length_ptr,  # [N / (span * fan_in), 2], int64
    V,
    N,
    span,
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
    borders say; nothing is read from the others.
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

        head = (child * 2)[:, None] * D + d[None, :]
        acc += tl.load(partial_ptr + head, mask=enters[:, None] & mask_d, other=0)
        if SCALE:
            length += tl.load(length_ptr + child * 2, mask=enters, other=0)
        store_sum(out_ptr, first, acc, length, d, closes & inside, mask_d, D, SCALE)
        outer = closes & (inside == 0)
        store_partial(next_partial_ptr, next_length_ptr, group * 2, acc, length, d, outer, mask_d, D, SCALE)

        acc = tl.where(through[:, None], acc, 0.0)
        acc += tl.load(partial_ptr + head + D, mask=opens[:, None] & mask_d, other=0)
        if SCALE:
            length = tl.where(through, length, 0)
            length += tl.load(length_ptr + child * 2 + 1, mask=opens, other=0)
        inside = inside | opens
    slot = group * 2 + inside.to(tl.int64)
    store_partial(next_partial_ptr, next_length_ptr, slot, acc, length, d, leaves, mask_d, D, SCALE)

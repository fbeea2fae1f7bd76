"""Reports of bad indices: the first of a launch that lies outside the table, in memory that the host reads at any time.

No atomics and no lock: a program that has a bad index looks through the lookups before its own, and only where all of
those are good is its first one the first of the launch. So one program writes, the same whatever the order they run
in; those that come after it see so, and need not look. Launches without a bad index touch nothing.
"""

import torch
import triton
import triton.language as tl

from . import WORDS as PER_SLOT
from . import Report
from .launch import LANES, folded, on_device_of

WORDS = tl.constexpr(PER_SLOT)
MARKED = 1024  # lookups of a program that marks bad ones


def looked_through(num_warps: int, lanes: int = LANES) -> int:
    """How many lookups a program looks through at a time, for a bad one before its own."""
    return max(256, num_warps * lanes)


@triton.jit
def is_bad(index, rows):
    """Whether it lies outside [0, rows)."""
    return (index < 0) | (index >= rows)


@triton.jit
def report_first(indices_ptr, reports_ptr, slot, n, index, bad, rows, stride_indices_n, BLOCK: tl.constexpr):
    """Reports the first of a program's lookups `n` that is `bad`, if no program before it has one. n is ascending.

    BLOCK lookups are looked through at a time, at least one by each of the program's threads.
    """
    if tl.max(bad.to(tl.int32), axis=0) > 0:
        begin = tl.min(n, axis=0)
        words = reports_ptr + 1 + slot.to(tl.int64) * WORDS
        # by every thread, and reduced: all of them have to see the same, for there are barriers on the way
        reported = tl.max(tl.load(words + tl.zeros([BLOCK], tl.int32), volatile=True), axis=0)
        earlier = (reported > 0) & (reported <= begin)
        start = begin - begin
        while (start < begin) & (earlier == 0):
            m = start + tl.arange(0, BLOCK)
            other = tl.load(indices_ptr + m * stride_indices_n, mask=m < begin, other=0).to(tl.int64)
            earlier = tl.max(((m < begin) & is_bad(other, rows)).to(tl.int32), axis=0) > 0
            start += BLOCK
        if earlier == 0:
            position = tl.min(tl.where(bad, n, tl.max(n, axis=0)), axis=0)
            value = tl.sum(tl.where(n == position, index, 0), axis=0)
            tl.store(words + 1, value)
            tl.store(words + 2, tl.zeros([], tl.int64) + rows)
            tl.store(words, position + 1)
            tl.store(reports_ptr, tl.full([], 1, tl.int64))


@triton.jit(do_not_specialize=["N", "rows", "slot"], do_not_specialize_on_alignment=["indices_ptr"])
def mark_bad_indices_kernel(
    indices_ptr,  # [N]
    out_ptr,  # [N]
    reports_ptr,
    N,
    stride_indices_n,
    rows,
    slot,
    REPORT: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    """Grid (N / BLOCK_N). A program owns a block of `out`: the indices, -1 for those outside [0, rows)."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask_n = n < N
    given = tl.load(indices_ptr + n * stride_indices_n, mask=mask_n, other=0)
    index = given.to(tl.int64)
    bad = mask_n & is_bad(index, rows)
    tl.store(out_ptr + n, tl.where(bad, -1, given).to(out_ptr.dtype.element_ty), mask=mask_n)
    if REPORT:
        report_first(indices_ptr, reports_ptr, slot, n, index, bad, rows, stride_indices_n, BLOCK_N)


def mark_bad_indices(indices: torch.Tensor, out: torch.Tensor, rows: int, report: Report | None = None) -> None:
    """Fills out [...], contiguous, with indices [...]: -1 for those outside [0, rows), which are reported."""
    N = indices.numel()
    if N == 0:
        return
    indices, stride = folded(indices)
    words, slot, _ = report or (out, 0, 0)
    with on_device_of(out):
        mark_bad_indices_kernel[(triton.cdiv(N, MARKED),)](
            indices, out, words, N, stride, rows, slot, REPORT=report is not None, BLOCK_N=MARKED
        )

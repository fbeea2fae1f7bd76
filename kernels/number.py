"""Numbers of runs: where few lookups are summed for a sparse gradient, each program counts the runs before its own."""

import triton
import triton.language as tl

BLOCK = tl.constexpr(1024)  # positions that are looked at together


@triton.jit
def runs_before(begins_ptr, position):
    """How many runs begin before a position; begins[n] is 1 where one does."""
    count = tl.zeros([BLOCK], tl.int32)
    for start in range(0, position.to(tl.int32), BLOCK):
        n = start + tl.arange(0, BLOCK)
        count += tl.load(begins_ptr + n, mask=n < position, other=0).to(tl.int32)
    return tl.sum(count, axis=0)


@triton.jit
def number_chunks(keys_ptr, begins_ptr, rows_ptr, at, N, stores, BLOCK_C: tl.constexpr, CHUNK: tl.constexpr):
    """The number of the run at each of BLOCK_C positions, where neighbouring chunks of CHUNK, a power of two, begin.

    If `stores`, the key of each run that begins in the chunks goes to its place among the rows.
    """
    within = at[:, None] + tl.arange(0, CHUNK)[None, :]
    marks = tl.load(begins_ptr + within, mask=within < N, other=0).to(tl.int32)
    own = tl.sum(marks, axis=1)
    before = runs_before(begins_ptr, tl.min(at, axis=0)) + tl.cumsum(own, axis=0) - own
    if stores:
        key = tl.load(keys_ptr + within, mask=marks > 0, other=0).to(tl.int64)
        tl.store(rows_ptr + before[:, None] + tl.cumsum(marks, axis=1) - 1, key, mask=marks > 0)
    return before + tl.load(begins_ptr + at, mask=at < N, other=0).to(tl.int32) - 1

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
    return tl.sum(count, axis=0).to(tl.int64)


@triton.jit
def numbers_at(begins_ptr, at, N, BLOCK_C: tl.constexpr, CHUNK: tl.constexpr):
    """The number of the run at each of BLOCK_C positions that are CHUNK apart, a power of two."""
    within = at[:, None] + tl.arange(0, CHUNK)[None, :]
    own = tl.sum(tl.load(begins_ptr + within, mask=within < N, other=0).to(tl.int64), axis=1)
    here = tl.load(begins_ptr + at, mask=at < N, other=0).to(tl.int64)
    return runs_before(begins_ptr, tl.min(at, axis=0)) + tl.cumsum(own, axis=0) - own + here - 1

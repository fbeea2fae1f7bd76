"""Zeros for the rows of a dense gradient that no lookup touched: programs look for them among the sorted keys."""

import triton
import triton.language as tl

WAYS = tl.constexpr(8)  # probes at once of a search


@triton.jit
def zero_block(out_ptr, at, size):
    """out[at] = 0 where at < size."""
    tl.store(out_ptr + at, tl.zeros(at.shape, out_ptr.dtype.element_ty), mask=at < size)


@triton.jit
def _first_not_below(keys_ptr, low, high, wanted):
    """For each wanted, the first position in [low, high) of the sorted keys whose key is not below it; else high."""
    way = tl.arange(0, WAYS)[None, :]
    while tl.max(high - low, axis=0) > 0:
        # WAYS probes, ascending, that cut what is left into equal parts; the last of them is its last position
        width = (high - low)[:, None]
        probe = low[:, None] + (width * (way + 1) + WAYS - 1) // WAYS - 1
        key = tl.load(keys_ptr + probe, mask=width > 0, other=0).to(tl.int64)
        below = (width > 0) & (key < wanted[:, None])
        low = tl.max(tl.where(below, probe + 1, low[:, None]), axis=1)
        high = tl.min(tl.where(below | (width == 0), high[:, None], probe), axis=1)
    return low


@triton.jit
def fill_untouched(
    keys_ptr, out_ptr, block, V, N, D: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    """Zeros in those of BLOCK_V rows of out [V, D] that are none of the keys [N], sorted.

    The keys of the whole block are searched for first, and each row among them.
    """
    v = block * BLOCK_V + tl.arange(0, BLOCK_V)
    ends = block * BLOCK_V + tl.arange(0, 2).to(tl.int64) * BLOCK_V
    places = _first_not_below(keys_ptr, tl.zeros([2], tl.int64), tl.zeros([2], tl.int64) + N, tl.minimum(ends, V))
    begin, end = tl.min(places, axis=0), tl.max(places, axis=0)
    low = _first_not_below(keys_ptr, tl.zeros([BLOCK_V], tl.int64) + begin, tl.zeros([BLOCK_V], tl.int64) + end, v)
    found = tl.load(keys_ptr + low, mask=low < end, other=V).to(tl.int64)
    untouched = ((found != v) & (v < V))[:, None]
    zeros = tl.zeros([BLOCK_V, BLOCK_D], out_ptr.dtype.element_ty)
    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)[None, :]
        tl.store(out_ptr + v[:, None] * D + d, zeros, mask=untouched & (d < D))

"""Zeros for the rows of a dense gradient that no lookup touched: programs look for them among the sorted keys."""

import triton
import triton.language as tl


@triton.jit
def zero_block(out_ptr, at, size):
    """out[at] = 0 where at < size."""
    tl.store(out_ptr + at, tl.zeros(at.shape, out_ptr.dtype.element_ty), mask=at < size)


@triton.jit
def _search(keys_ptr, begin, end, wanted, WAYS: tl.constexpr):
    """For each wanted, the first position in [begin, end) of the sorted keys whose key is not below it, or end.

    And whether that key is the wanted one. WAYS probes at once cut what is left into WAYS + 1 parts.
    """
    way = tl.arange(0, WAYS)[None, :] + 1
    low = tl.zeros(wanted.shape, tl.int64) + begin
    high = tl.zeros(wanted.shape, tl.int64) + end
    found = low < begin
    left = end - begin  # at most, of any of them
    while left > 0:
        width = (high - low)[:, None]
        probe = low[:, None] + width * way // (WAYS + 1)
        key = tl.load(keys_ptr + probe, mask=width > 0, other=-1).to(tl.int64)
        found = found | (tl.max((key == wanted[:, None]).to(tl.int32), axis=1) > 0)
        below = (width > 0) & (key < wanted[:, None])
        low = tl.max(tl.where(below, probe + 1, low[:, None]), axis=1)
        high = tl.min(tl.where(below, high[:, None], probe), axis=1)
        left = left // (WAYS + 1)
    return low, found


@triton.jit
def fill_untouched(
    keys_ptr, out_ptr, block, V, N, D: tl.constexpr, BLOCK_V: tl.constexpr, BLOCK_D: tl.constexpr
):  # fmt: skip
    """Zeros in those of BLOCK_V rows of out [V, D] that are none of the keys [N], sorted.

    The keys of the whole block are searched for first, in few steps; and each row among them, with few loads.
    """
    v = block * BLOCK_V + tl.arange(0, BLOCK_V)
    ends = block * BLOCK_V + tl.arange(0, 2).to(tl.int64) * BLOCK_V
    places, _ = _search(keys_ptr, 0, N, tl.minimum(ends, V), 8)
    _, touched = _search(keys_ptr, tl.min(places, axis=0), tl.max(places, axis=0), v, 1)
    untouched = ((touched == 0) & (v < V))[:, None]
    zeros = tl.zeros([BLOCK_V, BLOCK_D], out_ptr.dtype.element_ty)
    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)[None, :]
        tl.store(out_ptr + v[:, None] * D + d, zeros, mask=untouched & (d < D))

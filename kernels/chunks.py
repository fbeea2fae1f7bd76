"""Sums over fixed chunks of sorted positions: what every launch of a gradient begins with."""

import triton
import triton.language as tl

from .merge import store_partial, store_sum
from .number import number_chunks

AHEAD = 2  # rows that are asked for at a time


@triton.jit
def _ask(keys_ptr, order_ptr, grad_ptr, at, end, V, N, inner, stride_outer, stride_inner, stride_d, d, mask_d,
         D: tl.constexpr, LAYOUT: tl.constexpr):  # fmt: skip
    """The key at a sorted position, and its row of grad_output: V beyond N, zeros beyond the chunk's end.

    Rows are D apart (LAYOUT 0), or have one stride (1), or two of them (2).
    """
    key = tl.load(keys_ptr + at, mask=(at <= end) & (at < N), other=V).to(tl.int64)
    wanted = (key < V) & (at < end)
    row = tl.load(order_ptr + at, mask=wanted, other=0).to(tl.int64)
    if LAYOUT == 0:
        base = row * D
    elif LAYOUT == 1:
        base = row * stride_inner
    else:
        base = (row // inner) * stride_outer + (row % inner) * stride_inner
    return key, tl.load(grad_ptr + base[:, None] + d[None, :] * stride_d, mask=wanted[:, None] & mask_d, other=0)


@triton.jit
def _add(out_ptr, partial_ptr, length_ptr, chunk, acc, length, inside, number, key, after, value, last, V, d,
         mask_d, D: tl.constexpr, SCALE: tl.constexpr, NUMBER: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Adds one row. Where its run ends, or the chunk does, stores the sum: whole, or cut by a border.

    A whole one goes to the row that is the key, or the run's number.
    """
    acc += value.to(ACC)
    length += 1
    ends = after != key
    final = (key < V) & ends & inside
    if NUMBER:
        store_sum(out_ptr, number.to(tl.int64), acc, length, d, final, mask_d, D, SCALE)
        number += ends.to(tl.int32)
    else:
        store_sum(out_ptr, key, acc, length, d, final, mask_d, D, SCALE)
    cut = (key < V) & ((ends & (inside == 0)) | ((ends == 0) & last))
    slot = chunk * 2 + inside.to(tl.int64)
    store_partial(partial_ptr, length_ptr, slot, slot, acc, length, d, cut, mask_d, D, SCALE)
    return tl.where(ends[:, None], 0.0, acc), tl.where(ends, 0, length), inside | ends, number


@triton.jit(do_not_specialize=["V", "N", "inner"])
def sum_chunks_kernel(
    keys_ptr,  # [N], sorted
    order_ptr,  # [N]
    begins_ptr,  # [N], int8, if NUMBER
    grad_ptr,  # [N, D] by any strides
    out_ptr,  # [V, D] or, if NUMBER, [U, D], contiguous
    rows_ptr,  # [U], int64, if NUMBER
    partial_ptr,  # [N / CHUNK, 2, D], ACC
    length_ptr,  # [N / CHUNK, 2], int64
    V,
    N,
    inner,
    stride_outer,
    stride_inner,
    stride_d,
    D: tl.constexpr,
    CHUNK: tl.constexpr,
    SCALE: tl.constexpr,
    NUMBER: tl.constexpr,
    LAYOUT: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / CHUNK / BLOCK_C * D / BLOCK_D). A program walks BLOCK_C chunks in step, by two rows.

    The next two are asked for before the present ones are added; CHUNK is a multiple of AHEAD. Every run
    is stored by the one chunk that holds it whole; slots belong to one chunk each. With NUMBER, the first of the U
    runs goes to the first row of out, and so on, and the keys of them to `rows`.
    """
    TILES: tl.constexpr = (D + BLOCK_D - 1) // BLOCK_D
    program = tl.program_id(0)
    chunk = (program // TILES).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    d = (program % TILES).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask_d = d[None, :] < D
    at = chunk * CHUNK
    end = at + CHUNK
    before = tl.load(keys_ptr + at - 1, mask=(at > 0) & (at <= N), other=-1).to(tl.int64)
    k0, v0 = _ask(keys_ptr, order_ptr, grad_ptr, at, end, V, N, inner, stride_outer, stride_inner, stride_d, d,
                  mask_d, D, LAYOUT)  # fmt: skip
    k1, v1 = _ask(keys_ptr, order_ptr, grad_ptr, at + 1, end, V, N, inner, stride_outer, stride_inner, stride_d, d,
                  mask_d, D, LAYOUT)  # fmt: skip
    acc = tl.zeros([BLOCK_C, BLOCK_D], ACC)
    length = tl.zeros([BLOCK_C], tl.int64)
    inside = k0 != before  # whether the run began in this chunk
    number = at
    if NUMBER:
        number = number_chunks(keys_ptr, begins_ptr, rows_ptr, at, N, program % TILES == 0, BLOCK_C, CHUNK)
    # up to the end of the first chunk, which is where all others end too, or of the lookups
    steps = tl.minimum(CHUNK, N - (program // TILES).to(tl.int64) * BLOCK_C * CHUNK)
    for step in range(0, steps, 2):
        at += 2
        n0, w0 = _ask(keys_ptr, order_ptr, grad_ptr, at, end, V, N, inner, stride_outer, stride_inner, stride_d, d,
                      mask_d, D, LAYOUT)  # fmt: skip
        n1, w1 = _ask(keys_ptr, order_ptr, grad_ptr, at + 1, end, V, N, inner, stride_outer, stride_inner, stride_d,
                      d, mask_d, D, LAYOUT)  # fmt: skip
        acc, length, inside, number = _add(out_ptr, partial_ptr, length_ptr, chunk, acc, length, inside,
                                           number, k0, k1, v0, False, V, d, mask_d, D, SCALE, NUMBER,
                                           ACC)  # fmt: skip
        acc, length, inside, number = _add(out_ptr, partial_ptr, length_ptr, chunk, acc, length, inside,
                                           number, k1, n0, v1, step + 2 == CHUNK, V, d, mask_d, D, SCALE, NUMBER,
                                           ACC)  # fmt: skip
        k0, k1, v0, v1 = n0, n1, w0, w1

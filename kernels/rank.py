"""Few lookups sorted without a sort: each one's place is the number of lookups that come before it.

Where runs begin comes with it: at lookups that no equal one comes before. One launch, in which other programs set the
output to zero if that is wanted. Every lookup is compared with all, so it is for a few thousand.
"""

import torch
import triton
import triton.language as tl

from . import interpreted
from .fill import zero_block
from .launch import on_device_of

# Lookups that a program places, and with how many it compares them at a time: as many as registers hold. Triton's
# interpreter has none to fill, and is as slow at a few as at many.
COMPILED = 32, 64
BLOCK_N, BLOCK_M = (256, 1024) if interpreted() else COMPILED
BLOCK = 4096  # elements that one program sets to zero
MOST = tl.constexpr(4096)  # lookups, a power of two
MOST_ROWS = 1 << 50  # so that a row and a position fit into 64 bits


@triton.jit
def _load_keys(indices_ptr, n, V, N, stride_indices_n, first, padding_idx):
    """The rows of lookups, V for those dropped: padding, and indices outside [first, first + V). V beyond N too."""
    index = tl.load(indices_ptr + n.to(tl.int64) * stride_indices_n, mask=n < N, other=-1).to(tl.int64)
    row = index - first
    # as numbers without a sign, negative ones are large
    return tl.where((row.to(tl.uint64) < V) & (index != padding_idx), row, V)


@triton.jit(do_not_specialize=["V", "N", "first", "padding_idx"], do_not_specialize_on_alignment=["indices_ptr"])
def rank_lookups_kernel(
    indices_ptr,  # [N]
    keys_ptr,  # [N]
    order_ptr,  # [N], int32
    begins_ptr,  # [N], int8, if MARK
    zeros_ptr,  # [size]
    V,
    N,
    stride_indices_n,
    first,
    padding_idx,
    size,
    BLOCK_N: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK: tl.constexpr,
    MARK: tl.constexpr,
):
    """Grid (N / BLOCK_N + size / BLOCK). A program finds the places of BLOCK_N lookups, or sets BLOCK elements to 0.

    Places are a permutation: no two lookups have the same. With MARK, begins is 1 at the first place of each row.
    """
    program = tl.program_id(0)
    ranking = (N + BLOCK_N - 1) // BLOCK_N
    if program < ranking:
        NARROW: tl.constexpr = keys_ptr.dtype.element_ty.primitive_bitwidth < 32
        PAIR: tl.constexpr = tl.int32 if NARROW else tl.int64
        n = program * BLOCK_N + tl.arange(0, BLOCK_N)
        key = _load_keys(indices_ptr, n, V, N, stride_indices_n, first, padding_idx)
        # a key and a position as one number: in their order, equal keys are ordered too
        mine = key.to(PAIR) * MOST + n
        place = tl.zeros([BLOCK_N], tl.int32)
        equal = tl.zeros([BLOCK_N], tl.int32)  # lookups of the same row before it
        for start in range(0, N, BLOCK_M):
            m = start + tl.arange(0, BLOCK_M)
            other = _load_keys(indices_ptr, m, V, N, stride_indices_n, first, padding_idx).to(PAIR) * MOST + m
            before = other[None, :] < mine[:, None]
            place += tl.sum(before.to(tl.int32), axis=1)
            if MARK:
                equal += tl.sum((before & (other[None, :] >= (mine - n)[:, None])).to(tl.int32), axis=1)
        tl.store(keys_ptr + place, key.to(keys_ptr.dtype.element_ty), mask=n < N)
        tl.store(order_ptr + place, n, mask=n < N)
        if MARK:
            tl.store(begins_ptr + place, ((equal == 0) & (key < V)).to(tl.int8), mask=n < N)
    else:
        zero_block(zeros_ptr, (program - ranking).to(tl.int64) * BLOCK + tl.arange(0, BLOCK), size)


def rank_lookups(
    indices: torch.Tensor,
    keys: torch.Tensor,
    order: torch.Tensor,
    V: int,
    padding_idx: int,
    begins: torch.Tensor | None = None,
    zeros: torch.Tensor | None = None,
    first: int = 0,
) -> None:
    """Fills keys [N] with the sorted rows of indices [N] and order [N] int32 with where they stood.

    Row 0 has the index `first`. And begins [N] int8 with 1 where a row is the first time, else 0; and zeros with 0.
    """
    N, size = len(indices), 0 if zeros is None else zeros.numel()
    grid = triton.cdiv(N, BLOCK_N) + triton.cdiv(size, BLOCK)
    with on_device_of(keys):
        rank_lookups_kernel[(grid,)](
            indices, keys, order, keys if begins is None else begins, keys if zeros is None else zeros, V, N,
            indices.stride(0), first, padding_idx, size, BLOCK_N=BLOCK_N, BLOCK_M=BLOCK_M, BLOCK=BLOCK,
            MARK=begins is not None,
        )  # fmt: skip

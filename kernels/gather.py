"""Gather: out[n] = weight[indices[n]], a copy of bits."""

import torch
import triton
import triton.language as tl

from .launch import LANES, on_device_of
from .tiles import pick_tile


@triton.jit(do_not_specialize=["V", "N", "skip"])
def gather_rows_kernel(
    weight_ptr,  # [V, D], any strides
    indices_ptr,  # [N]
    out_ptr,  # [N, D], contiguous
    V,
    N,
    stride_weight_v,
    stride_weight_d,
    stride_indices_n,
    skip,
    D: tl.constexpr,
    PACKED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / BLOCK_N, D / BLOCK_D). A program owns one tile of `out` and writes nothing else.

    PACKED: rows lie D apart, a constant from which the compiler proves wide accesses where D allows them.
    Rows of indices outside [0, V), and of the index `skip`, are zeros; nothing is read for them.
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = tl.program_id(1).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask_n = n < N
    index = tl.load(indices_ptr + n * stride_indices_n, mask=mask_n, other=-1).to(tl.int64)
    inside = mask_n & (index >= 0) & (index < V) & (index != skip)
    mask_d = d[None, :] < D
    row_stride = D if PACKED else stride_weight_v
    source = weight_ptr + index[:, None] * row_stride + d[None, :] * stride_weight_d
    row = tl.load(source, mask=inside[:, None] & mask_d, other=0)
    tl.store(out_ptr + n[:, None] * D + d[None, :], row, mask=mask_n[:, None] & mask_d)


def gather_rows(weight: torch.Tensor, indices: torch.Tensor, out: torch.Tensor, skip: int = -1) -> None:
    """Fills out [N, D] with the rows of weight [V, D] at indices [N]; zeros for a bad index and for `skip`.

    Any dtype of 1, 2, 4 or 8 bytes that Triton can address; other dtypes come viewed as integers.
    """
    N, D = out.shape
    if N == 0 or D == 0:
        return
    tile = pick_tile("gather", D, out.element_size(), LANES)
    grid = (triton.cdiv(N, tile.rows), triton.cdiv(D, tile.columns))
    with on_device_of(out):
        gather_rows_kernel[grid](
            weight,
            indices,
            out,
            weight.shape[0],
            N,
            weight.stride(0),
            weight.stride(1),
            indices.stride(0),
            skip,
            D=D,
            PACKED=weight.stride(0) == D,
            BLOCK_N=tile.rows,
            BLOCK_D=tile.columns,
            num_warps=tile.num_warps,
        )

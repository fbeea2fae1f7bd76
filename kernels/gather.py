"""Gather: out[n] = weight[indices[n]], a copy of bits."""

import torch
import triton
import triton.language as tl

from . import Report
from .launch import LANES, TOO_LARGE, Launch, folded, key_of, on_device_of
from .reports import is_bad, looked_through, report_first
from .tiles import pick_tile


@triton.jit(
    do_not_specialize=["V", "N", "first", "skip", "rows", "slot"], do_not_specialize_on_alignment=["indices_ptr"]
)
def gather_rows_kernel(
    weight_ptr,  # [V, D], any strides
    indices_ptr,  # [N]
    out_ptr,  # [N, D], contiguous
    reports_ptr,
    V,
    N,
    stride_weight_v,
    stride_weight_d,
    stride_indices_n,
    first,
    skip,
    rows,
    slot,
    D: tl.constexpr,
    PACKED: tl.constexpr,
    REPORT: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Grid (N / BLOCK_N * D / BLOCK_D), the tiles of a row side by side. A program owns one tile of `out`.

    PACKED: rows lie D apart, a constant from which the compiler proves wide accesses where D allows them.
    The table's rows have the indices [first, first + V). Rows of others, and of the index `skip`, are zeros; nothing is
    read for them. With REPORT, the first index outside [0, rows) is reported.
    """
    TILES: tl.constexpr = (D + BLOCK_D - 1) // BLOCK_D
    program = tl.program_id(0)
    n = (program // TILES).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    d = (program % TILES).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask_n = n < N
    index = tl.load(indices_ptr + n * stride_indices_n, mask=mask_n, other=-1).to(tl.int64)
    row = index - first
    # not row >= 0: the subtraction wraps around for the lowest indices
    inside = mask_n & (index >= first) & (row < V) & (index != skip)
    mask_d = d[None, :] < D
    row_stride = D if PACKED else stride_weight_v
    source = weight_ptr + row[:, None] * row_stride + d[None, :] * stride_weight_d
    bits = tl.load(source, mask=inside[:, None] & mask_d, other=0)
    # streaming: the output is written once, the table's rows are what may be read again
    tl.store(out_ptr + n[:, None] * D + d[None, :], bits, mask=mask_n[:, None] & mask_d, cache_modifier=".cs")
    if REPORT:  # by the program of a row's first tile
        bad = mask_n & is_bad(index, rows) & (program % TILES == 0)
        report_first(indices_ptr, reports_ptr, slot, n, index, bad, rows, stride_indices_n, BLOCK)


launch_gather_rows = Launch(gather_rows_kernel)
launch_reporting_gather_rows = Launch(gather_rows_kernel)


def gather_rows(
    weight: torch.Tensor,
    indices: torch.Tensor,
    out: torch.Tensor,
    skip: int = -1,
    first: int = 0,
    report: Report | None = None,
) -> None:
    """Fills out [..., D] with the rows of weight [V, D] at indices [...]; zeros for a bad index and for `skip`.

    The first row has the index `first`, which is not 0 for a part of a larger table.

    Indices outside the table of report[2] rows, which this may be a part of, are reported.

    Any dtype of 1, 2, 4 or 8 bytes that Triton can address; other dtypes come viewed as integers. `out` is contiguous.
    Indices whose strides fold into one are read in place.
    """
    V, D = weight.shape
    N = indices.numel()
    if N == 0 or D == 0:
        return
    indices, stride = folded(indices)
    strides = (*weight.stride(), stride)
    launch, words, slot, rows = launch_gather_rows, out, 0, 0
    if report is not None:
        launch, (words, slot, rows) = launch_reporting_gather_rows, report
    plain = strides == (D, 1, 1) and max(first + V, rows) < TOO_LARGE and N < TOO_LARGE
    key = key_of(D, weight, indices, out) if plain else None
    tile = pick_tile("gather", D, out.element_size(), LANES)
    constants = D, strides[0] == D, report is not None, tile.rows, tile.columns, looked_through(tile.num_warps)
    grid = -(-N // tile.rows) * -(-D // tile.columns)
    with on_device_of(out):
        launch(
            key, grid, tile.num_warps, weight, indices, out, words, V, N, *strides, first, skip, rows, slot, *constants
        )

"""max_norm: rows whose norm is too large are scaled in the table, and looked up, in two launches.

The first launch only reads the table: every lookup of a row computes the same bits, duplicates
included. The second writes them back: duplicates store identical bits, so their race is benign.
No sort, no unique, and the table is read once.
"""

import math

import torch
import triton
import triton.language as tl

from .gather import gather_rows
from .launch import LANES, accumulator, on_device_of
from .tiles import pick_tile

# The kinds of norm that kernels are built for.
ZERO = tl.constexpr(0)
ONE = tl.constexpr(1)
TWO = tl.constexpr(2)
INF = tl.constexpr(3)
NEGATIVE_INF = tl.constexpr(4)
POWER = tl.constexpr(5)
NORMS = {0.0: ZERO, 1.0: ONE, 2.0: TWO, math.inf: INF, -math.inf: NEGATIVE_INF}


@triton.jit
def _terms(x, p, NORM: tl.constexpr, ACC: tl.constexpr):
    """What each element adds to the norm's sum (or takes to its maximum or minimum)."""
    a = tl.abs(x)
    if NORM == ZERO:
        return (x != 0).to(ACC)
    elif NORM == TWO:
        return x * x
    elif NORM == POWER:
        # |x|^p; a zero gives 0 for p > 0 and inf for p < 0, by way of log2(0) = -inf
        return tl.exp2(tl.log2(a) * p)
    else:
        return a


@triton.jit
def _norm(weight_ptr, base, inside, p, stride_weight_d, D: tl.constexpr, NORM: tl.constexpr, ACC: tl.constexpr,
          BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr):  # fmt: skip
    """Norms of BLOCK_N rows, as torch.linalg.vector_norm defines them, in ACC."""
    nothing = float("inf") if NORM == NEGATIVE_INF else 0.0
    total = tl.full([BLOCK_N, BLOCK_D], nothing, ACC)
    nans = tl.zeros([BLOCK_N, BLOCK_D], tl.int32)
    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        mask = inside[:, None] & (d[None, :] < D)
        x = tl.load(weight_ptr + base[:, None] + d[None, :].to(tl.int64) * stride_weight_d, mask=mask, other=0).to(ACC)
        term = tl.where(mask, _terms(x, p, NORM, ACC), nothing)
        if NORM == INF:
            total = tl.maximum(total, term)
            nans |= (term != term).to(tl.int32)
        elif NORM == NEGATIVE_INF:
            total = tl.minimum(total, term)
            nans |= (term != term).to(tl.int32)
        else:
            total += term
    if NORM == INF:
        norm = tl.max(total, axis=1)
    elif NORM == NEGATIVE_INF:
        norm = tl.min(total, axis=1)
    else:
        norm = tl.sum(total, axis=1)
    if NORM == TWO:
        # a bare root of float32 is approximate on NVIDIA
        norm = tl.sqrt(norm) if tl.float64 == ACC else tl.sqrt_rn(norm)
    if NORM == POWER:
        norm = tl.exp2(tl.log2(norm) / p)
    # maximum and minimum drop NaN, vector_norm does not
    return tl.where(tl.max(nans, axis=1) > 0, float("nan"), norm)


@triton.jit(do_not_specialize=["V", "N"])
def renorm_rows_kernel(
    weight_ptr,  # [V, D], any strides
    indices_ptr,  # [N]
    out_ptr,  # [N, D], contiguous
    over_ptr,  # [N], int8
    V,
    N,
    stride_weight_v,
    stride_weight_d,
    stride_indices_n,
    max_norm: tl.float64,
    p: tl.float64,
    D: tl.constexpr,
    PACKED: tl.constexpr,
    NORM: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / BLOCK_N). A program owns the rows of `out` and the flags `over` of BLOCK_N lookups.

    It reads the table and never writes it. As the CPU does, the norm and the factor are rounded to
    the table's type, the quotient between them is taken in double. Bad indices give zeros, not over.
    """
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    mask_n = n < N
    index = tl.load(indices_ptr + n * stride_indices_n, mask=mask_n, other=-1).to(tl.int64)
    inside = mask_n & (index >= 0) & (index < V)
    base = index * (D if PACKED else stride_weight_v)

    element = weight_ptr.dtype.element_ty
    # in double on every path: the interpreter takes a bare Python number for float32 in comparisons
    limit = tl.zeros([1], tl.float64) + max_norm
    exponent = (tl.zeros([1], tl.float64) + p).to(ACC)
    norm = _norm(weight_ptr, base, inside, exponent, stride_weight_d, D, NORM, ACC, BLOCK_N, BLOCK_D)
    norm = norm.to(element).to(tl.float64)
    over = inside & (norm > limit)
    factor = (limit / (norm + 1e-7)).to(ACC).to(element).to(ACC)
    tl.store(over_ptr + n, over.to(tl.int8), mask=mask_n)

    for start in range(0, D, BLOCK_D):
        d = start + tl.arange(0, BLOCK_D)
        mask_d = d[None, :] < D
        x = tl.load(
            weight_ptr + base[:, None] + d[None, :].to(tl.int64) * stride_weight_d,
            mask=inside[:, None] & mask_d,
            other=0,
        )
        y = tl.where(over[:, None], (x.to(ACC) * factor[:, None]).to(element), x)
        tl.store(out_ptr + n[:, None] * D + d[None, :], y, mask=mask_n[:, None] & mask_d)


@triton.jit(do_not_specialize=["N"])
def write_back_rows_kernel(
    out_ptr,  # [N, D], contiguous
    over_ptr,  # [N], int8
    indices_ptr,  # [N]
    weight_ptr,  # [V, D], any strides
    N,
    stride_weight_v,
    stride_weight_d,
    stride_indices_n,
    D: tl.constexpr,
    PACKED: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / BLOCK_N, D / BLOCK_D). Rows that were over go back to the table; duplicates store equal bits."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    over = tl.load(over_ptr + n, mask=n < N, other=0).to(tl.int32)
    if tl.max(over, axis=0) > 0:
        d = tl.program_id(1).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
        index = tl.load(indices_ptr + n * stride_indices_n, mask=over > 0, other=0).to(tl.int64)
        mask = (over[:, None] > 0) & (d[None, :] < D)
        row = tl.load(out_ptr + n[:, None] * D + d[None, :], mask=mask, other=0)
        row_stride = D if PACKED else stride_weight_v
        tl.store(weight_ptr + index[:, None] * row_stride + d[None, :] * stride_weight_d, row, mask=mask)


def renorm_rows(
    weight: torch.Tensor,
    indices: torch.Tensor,
    out: torch.Tensor,
    over: torch.Tensor,
    max_norm: float,
    norm_type: float,
) -> None:
    """Scales the rows of weight [V, D] at indices [N] to max_norm, in place, and fills out [N, D] with them.

    float16, bfloat16, float32 and float64; over [N] int8 is scratch. Norm in float32 (float64 for
    float64). A row is over when norm > max_norm, and is then multiplied by max_norm / (norm + 1e-7).
    """
    N, D = out.shape
    if N == 0 or D == 0:
        return
    if math.isnan(norm_type) or math.isnan(max_norm):
        return gather_rows(weight, indices, out)  # no norm is over
    tile = pick_tile("renorm", D, out.element_size(), LANES)
    rows, columns = triton.cdiv(N, tile.rows), triton.cdiv(D, tile.columns)
    strides = (weight.stride(0), weight.stride(1), indices.stride(0))
    tiles = {
        "D": D,
        "PACKED": weight.stride(0) == D,
        "BLOCK_N": tile.rows,
        "BLOCK_D": tile.columns,
        "num_warps": tile.num_warps,
    }
    with on_device_of(out):
        renorm_rows_kernel[(rows,)](
            weight,
            indices,
            out,
            over,
            weight.shape[0],
            N,
            *strides,
            float(max_norm),
            float(norm_type),
            NORM=NORMS.get(float(norm_type), POWER).value,
            ACC=accumulator(weight.dtype)[1],
            **tiles,
        )
        write_back_rows_kernel[(rows, columns)](out, over, indices, weight, N, *strides, **tiles)

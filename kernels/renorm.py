"""max_norm: rows looked up whose norm is too large are scaled, looked up, and put back, in two launches.

The first launch only reads the table: every lookup of a row computes the same bits, duplicates
included. The second writes them back: duplicates store identical bits, so their race is benign.
No sort, no unique; a row is read once, and stays in registers between its norm and its output.
"""

import math

import torch
import triton
import triton.language as tl

from . import Report
from .gather import gather_rows
from .launch import LANES, SHARED_REGISTERS, TOO_LARGE, Launch, accumulator, folded, key_of, on_device_of
from .norms import NORMS, POWER, join_terms, norm_of_terms, norm_terms
from .reports import is_bad, looked_through, report_first
from .tiles import MOST_BLOCKS, pick_blocks, pick_row_tiles

# Targets that are no rows: of a lookup that was not over, and of the first in a block of which none was.
KEPT = tl.constexpr(-1)
NONE = tl.constexpr(-2)


@triton.jit
def _load_rows(weight_ptr, base, inside, d, stride_weight_d, D: tl.constexpr):
    mask = inside[:, None] & (d[None, :] < D)
    return tl.load(weight_ptr + base[:, None] + d[None, :].to(tl.int64) * stride_weight_d, mask=mask, other=0), mask


@triton.jit
def _store_rows(out_ptr, x, n, mask_n, d, over, factor, D: tl.constexpr, ACC: tl.constexpr):
    y = tl.where(over[:, None], (x.to(ACC) * factor[:, None]).to(x.dtype), x)
    tl.store(out_ptr + n[:, None] * D + d[None, :], y, mask=mask_n[:, None] & (d[None, :] < D))


@triton.jit(
    do_not_specialize=["V", "N", "first", "columns", "rows", "slot"], do_not_specialize_on_alignment=["indices_ptr"]
)
def renorm_rows_kernel(
    weight_ptr,  # [V, D], any strides
    indices_ptr,  # [N]
    out_ptr,  # [N, D], contiguous
    targets_ptr,  # [N]
    reports_ptr,
    V,
    N,
    stride_weight_v,
    stride_weight_d,
    stride_indices_n,
    first,
    columns,
    rows,
    slot,
    max_norm: tl.float64,
    p: tl.float64,
    D: tl.constexpr,
    PACKED: tl.constexpr,
    REPORT: tl.constexpr,
    NORM: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Grid (N / BLOCK_N). A program owns a block of lookups: their rows of `out`, their targets.

    A target is the row of the table that has to be written, KEPT where it has not. If no row of the block has,
    only its first target is written, and is NONE. The table is not written. As the CPU does, the norm and the
    factor are rounded to the table's type, the quotient between them is taken in double. Bad indices give zeros, as do
    all outside [first, first + V); with REPORT, the first outside [0, rows) is reported.
    Of a row longer than BLOCK_D, all but the beginning is read twice.
    """
    lane = tl.arange(0, BLOCK_N)
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + lane
    mask_n = n < N
    index = tl.load(indices_ptr + n * stride_indices_n, mask=mask_n, other=-1).to(tl.int64)
    row = index - first
    # not row >= 0: the subtraction wraps around for the lowest indices
    inside = mask_n & (index >= first) & (row < V)
    base = row * (D if PACKED else stride_weight_v)
    if REPORT:  # before rows take the registers
        bad = mask_n & is_bad(index, rows)
        report_first(indices_ptr, reports_ptr, slot, n, index, bad, rows, stride_indices_n, BLOCK)

    # in double on every path: the interpreter takes a bare Python number for float32 in comparisons
    limit = tl.zeros([1], tl.float64) + max_norm
    exponent = (tl.zeros([1], tl.float64) + p).to(ACC)
    d = tl.arange(0, BLOCK_D)
    beginning, mask = _load_rows(weight_ptr, base, inside, d, stride_weight_d, D)
    terms = norm_terms(beginning, mask, exponent, NORM, ACC)
    # D once more, where it bounds a loop: of a constant one the compiler makes thousands of instructions
    further = columns if BLOCK_D < D else 0
    for start in range(BLOCK_D, further, BLOCK_D):
        x, mask = _load_rows(weight_ptr, base, inside, start + d, stride_weight_d, D)
        terms = join_terms(terms, norm_terms(x, mask, exponent, NORM, ACC), NORM)
    element = weight_ptr.dtype.element_ty
    norm = norm_of_terms(terms, exponent, NORM, ACC).to(element).to(tl.float64)
    over = inside & (norm > limit)
    factor = (limit / (norm + 1e-7)).to(ACC).to(element).to(ACC)

    most = tl.max(over.to(tl.int32), axis=0)
    target = tl.where(over, row, tl.where(most > 0, KEPT, NONE)).to(targets_ptr.dtype.element_ty)
    tl.store(targets_ptr + n, target, mask=mask_n & (tl.where(lane == 0, 1, most) > 0))
    _store_rows(out_ptr, beginning, n, mask_n, d, over, factor, D, ACC)
    for start in range(BLOCK_D, further, BLOCK_D):
        x, mask = _load_rows(weight_ptr, base, inside, start + d, stride_weight_d, D)
        _store_rows(out_ptr, x, n, mask_n, start + d, over, factor, D, ACC)


@triton.jit(do_not_specialize=["N", "blocks"])
def write_back_rows_kernel(
    out_ptr,  # [N, D], contiguous
    targets_ptr,  # [N]
    weight_ptr,  # [V, D], any strides
    N,
    blocks,
    stride_weight_v,
    stride_weight_d,
    D: tl.constexpr,
    PACKED: tl.constexpr,
    BLOCKS: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / BLOCK_N / blocks), blocks <= BLOCKS. Rows of `out` with a target go there; duplicates store equal bits.

    A program sees the first targets of all its blocks at a glance, and leaves if no row of them was over.
    """
    number = tl.arange(0, BLOCKS)
    block = tl.program_id(0).to(tl.int64) * blocks
    present = (number < blocks) & ((block + number) * BLOCK_N < N)
    firsts = tl.load(targets_ptr + (block + number) * BLOCK_N, mask=present, other=NONE)
    if tl.max(firsts, axis=0) > NONE:
        for k in range(0, blocks):
            first = tl.max(tl.where(number == k, firsts, NONE), axis=0)
            if first > NONE:
                lane = tl.arange(0, BLOCK_N)
                n = (block + k) * BLOCK_N + lane
                others = tl.load(targets_ptr + n, mask=(lane > 0) & (n < N), other=KEPT)
                target = tl.where(lane == 0, first, others).to(tl.int64)
                base = target * (D if PACKED else stride_weight_v)
                for start in range(0, D, BLOCK_D):
                    d = start + tl.arange(0, BLOCK_D)
                    mask = (target >= 0)[:, None] & (d[None, :] < D)
                    row = tl.load(out_ptr + n[:, None] * D + d[None, :], mask=mask, other=0)
                    goal = weight_ptr + base[:, None] + d[None, :].to(tl.int64) * stride_weight_d
                    tl.store(goal, row, mask=mask)


def targets_dtype(V: int) -> torch.dtype:
    """The type of the scratch that `renorm_rows` takes for a table of V rows."""
    return torch.int32 if V < TOO_LARGE else torch.int64


launch_renorm_rows = Launch(renorm_rows_kernel)
launch_write_back_rows = Launch(write_back_rows_kernel)


def renorm_rows(
    weight: torch.Tensor,
    indices: torch.Tensor,
    out: torch.Tensor,
    targets: torch.Tensor,
    max_norm: float,
    norm_type: float,
    first: int = 0,
    report: Report | None = None,
) -> None:
    """Scales the rows of weight [V, D] at indices [...] to max_norm, in place, and fills out [..., D] with them.

    float16, bfloat16, float32 and float64; norms in float32 (float64 for float64). A row is over when norm > max_norm,
    and is then multiplied by max_norm / (norm + 1e-7). `out` is contiguous; targets [N], of `targets_dtype(V)`, is
    scratch. The first row has the index `first`; rows of indices outside the table are zeros, and reported.
    """
    V, D = weight.shape
    N = indices.numel()
    if N == 0 or D == 0:
        return
    if math.isnan(norm_type) or math.isnan(max_norm):
        return gather_rows(weight, indices, out, first=first, report=report)  # no norm is over
    indices, stride = folded(indices)
    strides = weight.stride()
    packed, norm = strides[0] == D, NORMS.get(norm_type, POWER).value
    tile, back = pick_row_tiles(D, out.element_size(), LANES)
    count = -(-N // tile.rows)
    blocks = pick_blocks(count)
    words, slot, rows = report or (out, 0, 0)
    plain = strides == (D, 1) and stride == 1 and max(first + V, rows) < TOO_LARGE and N < TOO_LARGE
    key = key_of(D, weight, indices, out, targets) if plain else None
    if key is not None:
        key = (*key, norm, report is not None)
    with on_device_of(out):
        launch_renorm_rows(
            key, count, tile.num_warps, weight, indices, out, targets, words, V, N, *strides, stride, first, D, rows,
            slot, float(max_norm), float(norm_type), D, packed, report is not None, norm,
            accumulator(weight.dtype)[1], tile.rows, tile.columns, looked_through(tile.num_warps),
            **(SHARED_REGISTERS if norm == POWER.value else {}),
        )  # fmt: skip
        launch_write_back_rows(
            key, -(-count // blocks), back.num_warps, out, targets, weight, N, blocks, *strides, D, packed,
            MOST_BLOCKS, tile.rows, back.columns,
        )  # fmt: skip

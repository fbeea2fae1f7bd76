"""Segmented sum: the rows of grad_output that belong to one run, added up and stored once.

Deterministic and balanced: programs own fixed chunks of sorted positions, not runs, so a hot row
costs what any other does. A run inside one chunk is stored at once. One that crosses a border
leaves a partial sum in each chunk it touches: in the chunk's head slot if it came in over the left
border, else in its tail slot. Smaller launches then merge FAN_IN neighbouring spans at a time by
the same rule, until one span covers everything: the depth is logarithmic, the order of additions
fixed by N alone, and there are no atomics. Sums in float32 (float64 for float64), rounded once.
"""

import torch
import triton
import triton.language as tl

from .launch import LANES, accumulator, on_device_of
from .merge import merge_partials_kernel, store_partial, store_sum
from .tiles import FAN_IN, pick_chunk, pick_tile


@triton.jit
def _row_offset(row, inner, stride_outer, stride_inner, D: tl.constexpr, LAYOUT: tl.constexpr):
    """Where lookup `row` of grad_output begins: rows D apart (0), one stride (1), two of them (2)."""
    if LAYOUT == 0:
        return row * D
    elif LAYOUT == 1:
        return row * stride_inner
    else:
        return (row // inner) * stride_outer + (row % inner) * stride_inner


@triton.jit(do_not_specialize=["V", "N", "inner"])
def sum_chunks_kernel(
    keys_ptr,  # [N], sorted
    order_ptr,  # [N], int64
    grad_ptr,  # [N, D] by any strides
    out_ptr,  # [V, D], contiguous
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
    LAYOUT: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """Grid (N / CHUNK / BLOCK_C, D / BLOCK_D). A program walks BLOCK_C chunks in step, a row of each at a time.

    The next row is asked for before the present one is added. Every run is stored by the one chunk
    that holds it whole; slots belong to one chunk each.
    """
    chunk = tl.program_id(0).to(tl.int64) * BLOCK_C + tl.arange(0, BLOCK_C)
    d = tl.program_id(1).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    mask_d = d[None, :] < D
    columns = d[None, :] * stride_d
    begin = chunk * CHUNK

    before = tl.load(keys_ptr + begin - 1, mask=(begin > 0) & (begin <= N), other=-1).to(tl.int64)
    key = tl.load(keys_ptr + begin, mask=begin < N, other=V).to(tl.int64)
    row = tl.load(order_ptr + begin, mask=key < V, other=0)
    base = _row_offset(row, inner, stride_outer, stride_inner, D, LAYOUT)
    value = tl.load(grad_ptr + base[:, None] + columns, mask=(key < V)[:, None] & mask_d, other=0)

    acc = tl.zeros([BLOCK_C, BLOCK_D], ACC)
    length = tl.zeros([BLOCK_C], tl.int64)
    inside = key != before  # whether the run began in this chunk
    for step in range(CHUNK):
        position = begin + step + 1
        after = tl.load(keys_ptr + position, mask=position < N, other=V).to(tl.int64)
        wanted = (after < V) & (step + 1 < CHUNK)
        row = tl.load(order_ptr + position, mask=wanted, other=0)
        base = _row_offset(row, inner, stride_outer, stride_inner, D, LAYOUT)
        following = tl.load(grad_ptr + base[:, None] + columns, mask=wanted[:, None] & mask_d, other=0)

        acc += value.to(ACC)
        length += 1
        ends = after != key
        final = (key < V) & ends & inside
        store_sum(out_ptr, key, acc, length, d, final, mask_d, D, SCALE)
        cut = (key < V) & ((ends & (inside == 0)) | ((ends == 0) & (step + 1 == CHUNK)))
        slot = chunk * 2 + inside.to(tl.int64)
        store_partial(partial_ptr, length_ptr, slot, acc, length, d, cut, mask_d, D, SCALE)

        acc = tl.where(ends[:, None], 0.0, acc)
        length = tl.where(ends, 0, length)
        inside = inside | ends
        key = after
        value = following


def _tiles(kernel: str, D: int, itemsize: int, spans: int) -> tuple[tuple[int, int], dict[str, int]]:
    """Grid and tile arguments for a launch over so many chunks or groups."""
    tile = pick_tile(kernel, D, itemsize, LANES)
    rows = min(tile.rows, triton.next_power_of_2(spans))
    grid = (triton.cdiv(spans, rows), triton.cdiv(D, tile.columns))
    return grid, {"BLOCK_C": rows, "BLOCK_D": tile.columns, "num_warps": tile.num_warps}


def sum_runs(
    keys: torch.Tensor,
    order: torch.Tensor,
    grad: torch.Tensor,
    out: torch.Tensor,
    scale: bool,
    chunk: int | None = None,
) -> None:
    """out[k] = sum of grad[order[n]] over the run keys[n] == k, divided by the run's length when `scale`.

    Args:
        keys: [N] sorted integers; those not below the rows of out are dropped.
        order: [N] int64, the row of grad that each sorted position stands for.
        grad: [N, D] or [outer, inner, D] with outer * inner = N, any strides, those of 0 included.
        out: [rows, D] contiguous. Rows without a run are left as they are.
        chunk: sorted positions per chunk; by default a function of N.
    """
    N, D, V = keys.shape[0], out.shape[1], out.shape[0]
    if N == 0 or D == 0 or V == 0:
        return
    chunk = pick_chunk(N) if chunk is None else chunk
    dtype, ACC = accumulator(grad.dtype)
    flags = {"D": D, "SCALE": scale, "ACC": ACC}

    def slots(spans: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Partial sums and lengths, a head and a tail for each span; none are needed for a single span."""
        used = spans if spans > 1 else 0
        partial = torch.empty(used, 2, D, dtype=dtype, device=grad.device)
        return partial, torch.empty(used if scale else 0, 2, dtype=torch.int64, device=grad.device)

    spans = triton.cdiv(N, chunk)
    partial, length = slots(spans)
    inner = grad.shape[1] if grad.dim() == 3 else 1
    stride_outer, stride_inner = grad.stride(0), grad.stride(-2)
    layout = 2 if grad.dim() == 3 else int(stride_inner != D)
    grid, tiles = _tiles("sum", D, grad.element_size(), spans)
    with on_device_of(out):
        sum_chunks_kernel[grid](
            keys,
            order,
            grad,
            out,
            partial,
            length,
            V,
            N,
            inner,
            stride_outer,
            stride_inner,
            grad.stride(-1),
            CHUNK=chunk,
            LAYOUT=layout,
            **flags,
            **tiles,
        )
        span = chunk
        while spans > 1:
            fan_in = min(FAN_IN, spans)
            spans = triton.cdiv(spans, fan_in)
            merged, merged_length = slots(spans)
            grid, tiles = _tiles("merge", D, partial.element_size(), spans)
            merge_partials_kernel[grid](
                keys,
                partial,
                length,
                out,
                merged,
                merged_length,
                V,
                N,
                span,
                fan_in,
                **flags,
                **tiles,
            )
            partial, length, span = merged, merged_length, span * fan_in

"""Segmented sum: the rows of grad_output that belong to one run, added up and stored once.

Deterministic and balanced: programs own fixed chunks of sorted positions, not runs, so a hot row
costs what any other does. A run inside one chunk is stored at once. One that crosses a border
leaves a partial sum in each chunk it touches: in the chunk's head slot if it came in over the left
border, else in its tail slot. Smaller and smaller launches merge FAN_IN neighbouring spans at a time
by the same rule, until spans are few; the last launch walks along those, and sets to zero the rows of
a dense gradient that have no run, where that is less than all of them. The depth is logarithmic,
the order of additions fixed by N alone, and there are no atomics. Sums in float32 (float64 for float64), rounded once.
"""

import torch
import triton

from .chunks import AHEAD, sum_chunks_kernel
from .launch import LANES, REGISTERS, accumulator, on_device_of
from .merge import finish_kernel, merge_partials_kernel
from .regimes import pick_regime
from .runs import Runs
from .tiles import FAN_IN, Tile, pick_fill, pick_tile, pick_walk


def _cut(tile: Tile, D: int, spans: int, share: int = 1) -> tuple[int, int, dict[str, int]]:
    """Blocks of chunks or groups, tiles of a row, and tile arguments, for a launch over so many of them."""
    rows = min(max(1, tile.rows // share), triton.next_power_of_2(spans))
    arguments = {"BLOCK_C": rows, "BLOCK_D": tile.columns, "num_warps": tile.num_warps}
    return triton.cdiv(spans, rows), triton.cdiv(D, tile.columns), arguments


def sum_runs(
    keys: torch.Tensor,
    order: torch.Tensor,
    grad: torch.Tensor,
    out: torch.Tensor,
    scale: bool,
    fill: bool = False,
    chunk: int | None = None,
    runs: Runs | None = None,
) -> None:
    """out[k] = sum of grad[order[n]] over the run keys[n] == k, divided by the run's length when `scale`.

    Args:
        keys: [N] sorted integers; those not below the rows of out are dropped.
        order: [N] integers, the row of grad that each sorted position stands for.
        grad: [N, D] or [outer, inner, D] with outer * inner = N, any strides, those of 0 included.
        out: [rows, D] contiguous. Rows without a run are left as they are, or set to zero if `fill`.
        chunk: sorted positions per chunk, a multiple of 2; by default a function of N.
        runs: where keys and order come from, if out has a row for each of them; its rows are filled in.
    """
    N, D = keys.shape[0], out.shape[1]
    if N == 0 or not out.numel():
        return
    V = out.shape[0] if runs is None else runs.bound
    begins, rows, number = keys, order, False
    if runs is not None and runs.begins is not None:
        begins, rows, number = runs.begins, runs.rows, True
    its = pick_regime(N, V, D, grad.element_size(), LANES, chunk)
    assert its.chunk % AHEAD == 0
    assert not number or (its.levels == 0 and its.chunk.bit_count() == 1)
    dtype, ACC = accumulator(grad.dtype)
    flags = {"D": D, "SCALE": scale, "ACC": ACC, **REGISTERS}

    def lengths(spans: int) -> torch.Tensor:
        return torch.empty(spans if scale else 0, 2, dtype=torch.int64, device=grad.device)

    spans = triton.cdiv(N, its.chunk)
    # a head and a tail for each span; none are needed for a single one
    partial = torch.empty(spans if spans > 1 else 0, 2, D, dtype=dtype, device=grad.device)
    length = lengths(spans)
    inner = grad.shape[1] if grad.dim() == 3 else 1
    stride_outer, stride_inner, stride_d = grad.stride(0), grad.stride(-2), grad.stride(-1)
    layout = 2 if grad.dim() == 3 else int(stride_inner != D)
    # addresses of two strides take registers, of which half as many rows leave enough
    blocks, tiles, arguments = _cut(its.tile, D, spans, 2 if layout == 2 else 1)
    with on_device_of(out):
        sum_chunks_kernel[(blocks * tiles,)](
            keys, order, begins, grad, out, rows, partial, length, V, N, inner, stride_outer, stride_inner, stride_d,
            CHUNK=its.chunk, LAYOUT=layout, NUMBER=number, **flags, **arguments,
        )  # fmt: skip
        span, gap = its.chunk, 2
        merge = pick_tile("merge", D, partial.element_size(), LANES)
        for _ in range(its.levels):
            spans = triton.cdiv(spans, FAN_IN)
            blocks, tiles, arguments = _cut(merge, D, spans)
            merged = lengths(spans)
            merge_partials_kernel[(blocks, tiles)](
                keys, partial, length, merged, out, V, N, span, gap, FAN_IN, **flags, **arguments
            )
            length, span, gap = merged, span * FAN_IN, gap * FAN_IN
        walk, zeros = pick_walk(D, partial.element_size(), LANES), pick_fill(D, out.element_size(), LANES)
        walks = spans * triton.cdiv(D, walk.columns) if its.walks else 0
        fills = triton.cdiv(V, zeros.rows) if fill else 0
        if walks + fills:
            finish_kernel[(walks + fills,)](
                keys, begins, partial, length, out, V, N, span, gap, walks, BLOCK_C=walk.rows,
                BLOCK_D=walk.columns, BLOCK_V=zeros.rows if fill else 0, FILL_D=zeros.columns, NUMBER=number,
                num_warps=walk.num_warps, **flags,
            )  # fmt: skip

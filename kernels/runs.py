"""Runs: the lookups sorted by row, so that equal rows stand together.

Padding and indices outside the table become the key V, sort to the end and fall off it. Keys are of
the narrowest signed type that holds V, because a radix sort's passes follow the width of its keys.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl

from .launch import on_device_of
from .rank import rank_lookups
from .regimes import ranks

BLOCK = 1024


@triton.jit(do_not_specialize=["V", "N", "first", "padding_idx"])
def encode_keys_kernel(
    indices_ptr,  # [N]
    keys_ptr,  # [N]
    V,
    N,
    stride_indices_n,
    first,
    padding_idx,
    BLOCK_N: tl.constexpr,
):
    """Grid (N / BLOCK_N). keys[n] = indices[n] - first, or V for padding and where that is outside [0, V)."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    index = tl.load(indices_ptr + n * stride_indices_n, mask=n < N, other=-1).to(tl.int64)
    row = index - first
    # not row < 0: the subtraction wraps around for the lowest indices
    dropped = (index < first) | (row >= V) | (index == padding_idx)
    tl.store(keys_ptr + n, tl.where(dropped, V, row).to(keys_ptr.dtype.element_ty), mask=n < N)


@triton.jit(do_not_specialize=["N"])
def mark_starts_kernel(
    keys_ptr,  # [N], sorted
    starts_ptr,  # [N], int8
    N,
    BLOCK_N: tl.constexpr,
):
    """Grid (N / BLOCK_N). starts[n] = 1 where another run begins, 0 elsewhere: also at the first position."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    key = tl.load(keys_ptr + n, mask=n < N, other=0)
    before = tl.load(keys_ptr + n - 1, mask=(n > 0) & (n <= N), other=0)
    tl.store(starts_ptr + n, ((n > 0) & (key != before)).to(tl.int8), mask=n < N)


@triton.jit(do_not_specialize=["U", "N"])
def write_unique_kernel(
    keys_ptr,  # [N], sorted
    ids_ptr,  # [N], number of the run of each position
    unique_ptr,  # [U], int64
    U,
    N,
    BLOCK_N: tl.constexpr,
):
    """Grid (N / BLOCK_N). The first position of each of the first U runs writes the run's key."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    run = tl.load(ids_ptr + n, mask=n < N, other=U).to(tl.int64)
    before = tl.load(ids_ptr + n - 1, mask=(n > 0) & (n <= N), other=-1).to(tl.int64)
    first = (n < N) & (run != before) & (run < U)
    key = tl.load(keys_ptr + n, mask=first, other=0).to(tl.int64)
    tl.store(unique_ptr + run, key, mask=first)


def key_dtype(V: int) -> torch.dtype:
    """The narrowest signed integer that holds 0 … V."""
    return next(dtype for dtype in (torch.int8, torch.int16, torch.int32, torch.int64) if torch.iinfo(dtype).max >= V)


def sort_indices(
    indices: torch.Tensor, V: int, padding_idx: int, zeros: torch.Tensor | None = None, first: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorted keys [N] and the stable order [N] that sorts them; dropped lookups have key V and come last.

    The order is int32 for few lookups, else int64. `zeros` is set to zero, by the same launch for few lookups.
    Row 0 has the index `first`. The host never waits for the device.
    """
    N = indices.shape[0]
    if N and ranks(N, V):
        return sort_few(indices, V, padding_idx, zeros, first=first)
    if zeros is not None:
        zeros.zero_()
    return sort_many(indices, V, padding_idx, first)


def sort_few(
    indices: torch.Tensor,
    V: int,
    padding_idx: int,
    zeros: torch.Tensor | None = None,
    begins: torch.Tensor | None = None,
    first: int = 0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """sort_indices() by comparing each lookup with all others; begins [N] int8 gets 1 where a run of rows begins."""
    keys = torch.empty(len(indices), dtype=key_dtype(V), device=indices.device)
    order = torch.empty(len(indices), dtype=torch.int32, device=indices.device)
    rank_lookups(indices, keys, order, V, padding_idx, begins, zeros, first)
    return keys, order


def sort_many(indices: torch.Tensor, V: int, padding_idx: int, first: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """sort_indices() by torch's sort."""
    N = len(indices)
    keys = torch.empty(N, dtype=key_dtype(V), device=indices.device)
    if N:
        with on_device_of(keys):
            encode_keys_kernel[(triton.cdiv(N, BLOCK),)](
                indices, keys, V, N, indices.stride(0), first, padding_idx, BLOCK_N=BLOCK
            )
    return torch.sort(keys, stable=True)


class Runs(NamedTuple):
    """Lookups sorted into the runs of the U rows that they are of.

    Args:
        keys: [N] the number of the run at each sorted position; with `begins` its row, for there are no numbers yet.
        order: [N] the lookup that each position stands for.
        rows: [U] int64, the row of each run, ascending; with `begins`, for the launch that sums runs to fill in.
        begins: [N] int8, 1 where a run begins, or None.
        bound: keys not below it are those of dropped lookups.
    """

    keys: torch.Tensor
    order: torch.Tensor
    rows: torch.Tensor
    begins: torch.Tensor | None
    bound: int


def find_runs(indices: torch.Tensor, V: int, padding_idx: int, first: int = 0) -> Runs:
    """The runs of indices [N] in a table whose row 0 has the index `first`. The host waits once, for their number."""
    N = len(indices)
    if N and ranks(N, V):
        begins = torch.empty(N, dtype=torch.int8, device=indices.device)
        keys, order = sort_few(indices, V, padding_idx, begins=begins, first=first)
        U = int(begins.cpu().sum())
        return Runs(keys, order, torch.empty(U, dtype=torch.int64, device=keys.device), begins, V)
    keys, order = sort_many(indices, V, padding_idx, first)
    ids, rows = number_runs(keys, V)
    return Runs(ids, order, rows, None, len(rows))


def number_runs(keys: torch.Tensor, V: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The run number of each sorted position [N], and the key of each run [U] int64, ascending.

    Dropped lookups (key V) get the number U. The host waits once, for U.
    """
    N = keys.shape[0]
    if N == 0:
        return keys.to(torch.int32), keys.to(torch.int64)
    grid = (triton.cdiv(N, BLOCK),)
    starts = torch.empty(N, dtype=torch.int8, device=keys.device)
    with on_device_of(keys):
        mark_starts_kernel[grid](keys, starts, N, BLOCK_N=BLOCK)
        ids = torch.cumsum(starts, 0, dtype=torch.int32 if N < 2**31 else torch.int64)
        U = int(ids[-1] + (keys[-1] < V))
        unique = torch.empty(U, dtype=torch.int64, device=keys.device)
        if U:
            write_unique_kernel[grid](keys, ids, unique, U, N, BLOCK_N=BLOCK)
    return ids, unique

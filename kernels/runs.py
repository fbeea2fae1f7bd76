"""Runs: the lookups sorted by row, so that equal rows stand together.

Padding and indices outside the table become the key V, sort to the end and fall off it. Keys are of
the narrowest signed type that holds V, because a radix sort's passes follow the width of its keys.
"""

import torch
import triton
import triton.language as tl

from .launch import on_device_of
from .rank import rank_lookups
from .regimes import ranks
from .tiles import is_few

BLOCK = 1024


@triton.jit(do_not_specialize=["V", "N", "padding_idx"])
def encode_keys_kernel(
    indices_ptr,  # [N]
    keys_ptr,  # [N]
    V,
    N,
    stride_indices_n,
    padding_idx,
    BLOCK_N: tl.constexpr,
):
    """Grid (N / BLOCK_N). keys[n] = indices[n], or V for padding and for an index outside [0, V)."""
    n = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    index = tl.load(indices_ptr + n * stride_indices_n, mask=n < N, other=-1).to(tl.int64)
    dropped = (index < 0) | (index >= V) | (index == padding_idx)
    tl.store(keys_ptr + n, tl.where(dropped, V, index).to(keys_ptr.dtype.element_ty), mask=n < N)


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


@triton.jit(do_not_specialize=["V", "N"])
def number_few_kernel(
    keys_ptr,  # [N], sorted
    ids_ptr,  # [N], int32
    unique_ptr,  # [N], int64
    count_ptr,  # [1], int64
    V,
    N,
    BLOCK_N: tl.constexpr,
):
    """One program. Numbers the runs, writes the key of each, and how many there are but for that of key V."""
    number = 0
    for start in range(0, N, BLOCK_N):
        n = start + tl.arange(0, BLOCK_N)
        key = tl.load(keys_ptr + n, mask=n < N, other=0).to(tl.int64)
        before = tl.load(keys_ptr + n - 1, mask=(n > 0) & (n < N), other=0).to(tl.int64)
        begins = (n > 0) & (n < N) & (key != before)
        run = number + tl.cumsum(begins.to(tl.int32), axis=0)
        tl.store(ids_ptr + n, run, mask=n < N)
        tl.store(unique_ptr + run, key, mask=(begins | (n == 0)) & (key < V))
        number = tl.max(run, axis=0)
    last = tl.load(keys_ptr + N - 1).to(tl.int64)
    tl.store(count_ptr, number + (last < V).to(tl.int64))


def key_dtype(V: int) -> torch.dtype:
    """The narrowest signed integer that holds 0 … V."""
    return next(dtype for dtype in (torch.int8, torch.int16, torch.int32, torch.int64) if torch.iinfo(dtype).max >= V)


def sort_indices(
    indices: torch.Tensor, V: int, padding_idx: int, zeros: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sorted keys [N] and the stable order [N] that sorts them; dropped lookups have key V and come last.

    The order is int32 for few lookups, else int64. `zeros` is set to zero, by the same launch for few lookups.
    The host never waits for the device.
    """
    N = indices.shape[0]
    if N and ranks(N, V):
        return sort_few(indices, V, padding_idx, zeros)
    if zeros is not None:
        zeros.zero_()
    return sort_many(indices, V, padding_idx)


def sort_few(
    indices: torch.Tensor, V: int, padding_idx: int, zeros: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """sort_indices() by comparing each lookup with all others."""
    keys = torch.empty(len(indices), dtype=key_dtype(V), device=indices.device)
    order = torch.empty(len(indices), dtype=torch.int32, device=indices.device)
    rank_lookups(indices, keys, order, V, padding_idx, zeros)
    return keys, order


def sort_many(indices: torch.Tensor, V: int, padding_idx: int) -> tuple[torch.Tensor, torch.Tensor]:
    """sort_indices() by torch's sort."""
    N = len(indices)
    keys = torch.empty(N, dtype=key_dtype(V), device=indices.device)
    if N:
        with on_device_of(keys):
            encode_keys_kernel[(triton.cdiv(N, BLOCK),)](
                indices, keys, V, N, indices.stride(0), padding_idx, BLOCK_N=BLOCK
            )
    return torch.sort(keys, stable=True)


def number_runs(keys: torch.Tensor, V: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The run number of each sorted position [N], and the key of each run [U] int64, ascending.

    Dropped lookups (key V) get the number U. The host waits once, for U.
    """
    N = keys.shape[0]
    if N == 0:
        return keys.to(torch.int32), keys.to(torch.int64)
    if is_few(N):
        return _number_few(keys, V)
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


def _number_few(keys: torch.Tensor, V: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.empty(len(keys), dtype=torch.int32, device=keys.device)
    unique = torch.empty(len(keys), dtype=torch.int64, device=keys.device)
    count = torch.empty(1, dtype=torch.int64, device=keys.device)
    with on_device_of(keys):
        number_few_kernel[(1,)](keys, ids, unique, count, V, len(keys), BLOCK_N=BLOCK)
    return ids, unique[: int(count)]

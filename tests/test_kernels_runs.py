import pytest
import torch

from tembed.kernels.runs import BLOCK, key_dtype, number_runs, sort_indices


def test_key_dtype_is_the_narrowest_that_holds_V() -> None:
    for dtype, wider in ((torch.int8, torch.int16), (torch.int16, torch.int32), (torch.int32, torch.int64)):
        highest = torch.iinfo(dtype).max
        assert key_dtype(highest) == dtype
        assert key_dtype(highest + 1) == wider


@pytest.mark.parametrize("V", [1, 127, 128, 32767, 32768, 2**31 - 1, 2**31, 2**40])
@pytest.mark.parametrize("N", [0, 1, 2, 100, BLOCK, BLOCK + 1])
def test_sort_indices_orders_stably_and_drops_padding_and_bad_indices(N: int, V: int, device: str) -> None:
    indices = torch.randint(0, min(V, 40), (N,), device=device) * max(1, V // 40) % V
    indices[::7] = -1
    indices[3::11] = V
    padding = int(indices[1]) if N > 1 else -1
    keys, order = sort_indices(indices, V, padding)
    dropped = (indices < 0) | (indices >= V) | (indices == padding)
    expected, stable = torch.where(dropped, V, indices).sort(stable=True)
    assert torch.equal(keys.long(), expected)
    assert torch.equal(order, stable)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sort_indices_reads_strided_indices(dtype: torch.dtype, device: str) -> None:
    indices = torch.randint(0, 9, (40,), dtype=dtype, device=device)[::3]
    keys, order = sort_indices(indices, 9, -1)
    assert torch.equal(keys.to(dtype), indices[order])


@pytest.mark.parametrize("tail", [0, 1, 5])
@pytest.mark.parametrize("N", [1, 2, 90, BLOCK, BLOCK + 3])
def test_number_runs_counts_runs_and_leaves_the_dropped_tail_out(N: int, tail: int, device: str) -> None:
    V = 50
    keys = torch.cat([torch.randint(0, V, (N,)).sort().values, torch.full((tail,), V)]).to(device, torch.int8)
    ids, unique = number_runs(keys, V)
    expected, inverse = keys.unique(return_inverse=True)
    assert torch.equal(ids.long(), inverse)
    assert torch.equal(unique, expected[expected < V].long())


def test_number_runs_of_nothing_but_dropped_lookups_is_empty(device: str) -> None:
    ids, unique = number_runs(torch.full((6,), 3, dtype=torch.int8, device=device), 3)
    assert unique.shape == (0,)
    assert not ids.any()

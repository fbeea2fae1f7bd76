import pytest
import torch

from tembed.kernels.gather import gather_rows
from tembed.parity.inputs import LAYOUTS

SIZES = [(1, 1, 1), (5, 1, 3), (7, 50, 24), (33, 9, 130), (130, 40, 5), (4, 6, 1030)]


@pytest.mark.parametrize(("N", "V", "D"), SIZES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_gather_rows_copies_bits(N: int, V: int, D: int, layout: str, dtype: torch.dtype, device: str) -> None:
    weight = torch.randint(-100, 100, (V, D)).to(device, dtype)
    indices = torch.randint(0, V, (N,), device=device)
    out = torch.empty(N, D, dtype=dtype, device=device)
    gather_rows(LAYOUTS[layout](weight), indices, out)
    assert torch.equal(out, weight[indices])


def test_gather_rows_keeps_nan_payloads_negative_zero_and_denormals(device: str) -> None:
    bits = torch.tensor([[0x7FC12345, -0x80000000, 1, 0x7F800001 + 2]], dtype=torch.int32, device=device)
    out = torch.empty(3, 4, device=device)
    gather_rows(bits.view(torch.float32), torch.zeros(3, dtype=torch.int32, device=device), out)
    assert torch.equal(out.view(torch.int32), bits.expand(3, 4))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_gather_rows_gives_zeros_for_indices_outside(dtype: torch.dtype, device: str) -> None:
    lowest, highest = torch.iinfo(dtype).min, torch.iinfo(dtype).max
    indices = torch.tensor([0, -1, 4, 3, lowest, highest, 5], dtype=dtype, device=device)
    weight = torch.randn(4, 6, device=device)
    out = torch.empty(7, 6, device=device)
    gather_rows(weight, indices, out)
    assert torch.equal(out[[0, 3]], weight[[0, 3]])
    assert not out[[1, 2, 4, 5, 6]].any()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("first", [0, 1, 7, 2**31 - 5, 2**40])
def test_gather_rows_of_a_part_gives_zeros_for_rows_elsewhere(first: int, dtype: torch.dtype, device: str) -> None:
    """Of the lowest indices, the difference from the first row wraps around."""
    info = torch.iinfo(dtype)
    wanted = [info.min, info.min + 1, info.min + first, -1, 0, first - 1, first, first + 3, first + 4, info.max]
    indices = torch.tensor([index for index in wanted if info.min <= index <= info.max], dtype=dtype, device=device)
    weight = torch.randn(4, 6, device=device)
    for skip in (-1, first + 3, first - 1, 3):
        out = torch.empty(len(indices), 6, device=device)
        gather_rows(weight, indices, out, skip, first)
        for index, row in zip(indices.tolist(), out, strict=True):
            here = first <= index < first + 4 and index != skip
            assert torch.equal(row, weight[index - first] if here else torch.zeros(6, device=device))


def test_gather_rows_of_a_part_without_rows_gives_zeros(device: str) -> None:
    out = torch.empty(3, 6, device=device)
    gather_rows(torch.empty(0, 6, device=device), torch.tensor([3, 4, 5], device=device), out, first=4)
    assert not out.any()


def test_gather_rows_skips_one_index(device: str) -> None:
    weight = torch.full((3, 4), float("nan"), device=device)
    weight[[0, 2]] = torch.randn(2, 4, device=device)
    out = torch.empty(3, 4, device=device)
    gather_rows(weight, torch.tensor([0, 1, 2], device=device), out, skip=1)
    assert torch.equal(out[[0, 2]], weight[[0, 2]])
    assert not out[1].any()


def test_gather_rows_reads_expanded_and_strided_indices(device: str) -> None:
    weight = torch.randn(9, 5, device=device)
    strided = torch.arange(9, device=device)[::2]
    expanded = torch.tensor(4, device=device).expand(6)
    for indices in (strided, expanded):
        out = torch.empty(len(indices), 5, device=device)
        gather_rows(weight, indices, out)
        assert torch.equal(out, weight[indices])


@pytest.mark.parametrize("shape", [(0, 4), (3, 0)])
def test_gather_rows_launches_nothing_for_empty_output(shape: tuple[int, int], device: str) -> None:
    out = torch.empty(shape, device=device)
    gather_rows(torch.randn(5, shape[1], device=device), torch.zeros(shape[0], dtype=torch.int64, device=device), out)
    assert out.shape == shape


def test_gather_rows_reads_an_expanded_table_without_a_copy(device: str) -> None:
    weight = torch.randn(1, 7, device=device).expand(1000, 7)
    out = torch.empty(2, 7, device=device)
    gather_rows(weight, torch.tensor([0, 999], device=device), out)
    assert torch.equal(out, weight[:2])

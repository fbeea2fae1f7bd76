import math

import pytest
import torch
from pairs import pairwise

from tembed.kernels import tiles
from tembed.kernels.renorm import renorm_rows, targets_dtype


def renormed(
    weight: torch.Tensor, indices: torch.Tensor, max_norm: float, p: float = 2.0, dtype: torch.dtype | None = None
) -> torch.Tensor:
    out = weight.new_empty(len(indices), weight.shape[1])
    targets = torch.empty(len(indices), dtype=dtype or targets_dtype(len(weight)), device=weight.device)
    renorm_rows(weight, indices, out, targets, max_norm, p)
    return out


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
def test_renorm_rows_leaves_bad_indices_out(index_dtype: torch.dtype, device: str) -> None:
    backing = torch.full((8, 4), 7.0, device=device)
    weight = backing[2:6]
    lowest, highest = torch.iinfo(index_dtype).min, torch.iinfo(index_dtype).max
    indices = torch.tensor([-1, 4, 1, lowest, highest], dtype=index_dtype, device=device)
    out = renormed(weight, indices, 1.0)
    torch.testing.assert_close(out[2], torch.full((4,), 0.5, device=device))
    assert not out[[0, 1, 3, 4]].any()
    untouched = torch.ones(8, dtype=torch.bool)
    untouched[3] = False
    assert (backing[untouched] == 7).all()


@pytest.mark.parametrize("index_dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("first", [0, 3, 2**31 - 5, 2**40])
@pytest.mark.parametrize("p", [2.0, math.nan])
def test_renorm_rows_of_a_part_leaves_rows_elsewhere_out(
    p: float, first: int, index_dtype: torch.dtype, device: str
) -> None:
    """Of the lowest indices, the difference from the first row wraps around."""
    backing = torch.full((8, 4), 7.0, device=device)
    info = torch.iinfo(index_dtype)
    wanted = [info.min, info.min + first, first - 1, first + 4, 1, info.max, first, first + 3, first + 3]
    indices = torch.tensor(
        [index for index in wanted if info.min <= index <= info.max], dtype=index_dtype, device=device
    )
    out = torch.empty(len(indices), 4, device=device)
    targets = torch.empty(len(indices), dtype=targets_dtype(4), device=device)
    renorm_rows(backing[2:6], indices, out, targets, 1.0, p, first)
    rows = [index - first if first <= index < first + 4 else None for index in indices.tolist()]
    scaled = 7.0 if math.isnan(p) else 0.5
    expected = torch.full((8, 4), 7.0, device=device)
    expected[[2 + row for row in rows if row is not None]] = scaled
    torch.testing.assert_close(backing, expected)
    torch.testing.assert_close(out[:, 0], torch.tensor([0.0 if row is None else scaled for row in rows], device=device))


def test_renorm_rows_reads_strided_and_expanded_indices(device: str) -> None:
    weight = torch.randn(9, 5, device=device) * 9
    once = weight.clone()
    strided = torch.arange(9, device=device)[::2]
    assert torch.equal(renormed(weight, strided, 1.0), weight[strided])
    renormed(once, strided.contiguous(), 1.0)
    assert torch.equal(weight, once)
    expanded = torch.tensor(3, device=device).expand(40)
    assert torch.equal(renormed(weight, expanded, 1.0), weight[expanded])


def test_renorm_rows_compares_float64_rows_with_a_float64_limit(device: str) -> None:
    """A limit that float32 would round up to the norm."""
    limit = 1.0 - 1e-12
    weight = torch.tensor([[1.0], [1.0 - 1e-11]], dtype=torch.float64, device=device)
    renormed(weight, torch.tensor([0, 1], device=device), limit)
    assert weight[0].item() == limit / (1 + 1e-7)
    assert weight[1].item() == 1.0 - 1e-11


def test_renorm_rows_launches_nothing_for_empty_input(device: str) -> None:
    weight = torch.randn(3, 4, device=device)
    assert renormed(weight, torch.empty(0, dtype=torch.int64, device=device), 0.1).shape == (0, 4)


# Which of the lookups are of rows that are over.
PATTERNS = {
    "none": lambda n: n < 0,
    "all": lambda n: n >= 0,
    "first": lambda n: n == 0,
    "last": lambda n: n == len(n) - 1,
    "every seventh": lambda n: n % 7 == 3,
    "a stretch": lambda n: (n > 20) & (n < 31),
}


def check(weight: torch.Tensor, indices: torch.Tensor, **options: torch.dtype) -> None:
    """Against torch, on the CPU; rows of integers, whose norms and their roots are exact."""
    expected = weight.cpu().clone()
    torch.embedding_renorm_(expected, indices.cpu(), 10.0, 1.0)
    out = renormed(weight, indices, 10.0, 1.0, **options)
    assert torch.equal(weight.cpu(), expected)
    assert torch.equal(out.cpu(), expected[indices.cpu()])


@pytest.mark.parametrize(
    ("D", "programs", "pattern"), pairwise([1, 40, 1100], [1, 3, tiles.WRITE_BACK_PROGRAMS], [*PATTERNS])
)
def test_renorm_rows_writes_back_what_was_over_however_blocks_are_shared_out(
    D: int, programs: int, pattern: str, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "WRITE_BACK_PROGRAMS", programs)
    N = 5 * tiles.pick_row_tiles(D, 4)[0].rows - 2 if D < 1000 else 37
    over = PATTERNS[pattern](torch.arange(N))
    weight = torch.zeros(N, D, device=device)
    weight[:, 0] = torch.where(over, 40.0, 2.0)
    check(weight, torch.arange(N, device=device))


def test_renorm_rows_takes_targets_of_64_bits(device: str) -> None:
    weight = torch.full((6, 3), 16.0, device=device)
    check(weight, torch.tensor([5, 0, 0, 2], device=device), dtype=torch.int64)
    assert targets_dtype(2**31 - 1) == torch.int32
    assert targets_dtype(2**31) == torch.int64


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf, -math.inf, 3.0])
def test_renorm_rows_takes_a_row_longer_than_a_program_holds(p: float, device: str) -> None:
    D = tiles.LONGEST_ROW // 4 + 5
    weight = torch.zeros(4, D, device=device)
    weight[:, 0], weight[:, D - 1], weight[1] = 1.0, 2.0, 3.0
    weight[2, 0], weight[2, D - 2] = 2.0, math.nan
    expected = weight.cpu().clone()
    torch.embedding_renorm_(expected, torch.arange(4), 1.5, p)
    out = renormed(weight, torch.tensor([1, 2, 0], device=device), 1.5, p)
    torch.testing.assert_close(weight[:3].cpu(), expected[:3], rtol=1e-5, atol=0, equal_nan=True)
    torch.testing.assert_close(out, weight[[1, 2, 0]], rtol=0, atol=0, equal_nan=True)

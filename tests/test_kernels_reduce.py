import numpy as np
import pytest
import torch
from pairs import pairwise

from tembed.kernels import tiles
from tembed.kernels.reduce import sum_runs
from tembed.kernels.tiles import (
    CHUNKS,
    FAN_IN,
    LONGEST_CHUNK,
    SPARSE_ROWS,
    fills_untouched,
    pick_chunk,
    pick_fill,
)
from tembed.parity import oracle
from tembed.parity.inputs import DISTRIBUTIONS, make_gradient, make_indices

GENERATOR = torch.Generator()
WALKED = 8  # spans, so that few lookups have several levels


@pytest.fixture(autouse=True)
def _fewer_are_walked_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "WALKED", WALKED)


def summed(
    grad: torch.Tensor, indices: torch.Tensor, V: int, scale: bool, chunk: int | None = None, fill: bool = False
) -> torch.Tensor:
    keys, order = indices.to(grad.device).sort(stable=True)
    untouched = float("nan") if fill else 0.0
    out = torch.full((V, grad.shape[-1]), untouched, dtype=grad.dtype, device=grad.device)
    sum_runs(keys, order, grad, out, scale, fill, chunk)
    return out


def assert_within_bound(out: torch.Tensor, grad: torch.Tensor, indices: torch.Tensor, V: int, scale: bool) -> None:
    dtype = str(grad.dtype).removeprefix("torch.")
    wide = grad.reshape(-1, grad.shape[-1]).double().cpu().numpy()
    expected = oracle.gradient(wide, indices.cpu().numpy(), V, None, scale, dtype)
    error = np.abs(out.double().cpu().numpy() - expected.value)
    assert (error <= expected.bound).all(), float((error - expected.bound).max())


# One chunk; a border crossed; as many spans as are walked along, and one more; two levels of merging before that.
LENGTHS = [
    (1, 16),
    (15, 16),
    (16, 16),
    (17, 16),
    (40, 4),
    (2 * WALKED, 2),
    (2 * WALKED + 1, 2),
    (2 * WALKED * FAN_IN + 3, 2),
]


@pytest.mark.parametrize(
    ("lengths", "distribution", "scale", "fill"), pairwise(LENGTHS, [*DISTRIBUTIONS], [False, True], [False, True])
)
def test_sum_runs_is_exact_on_integers(
    lengths: tuple[int, int], distribution: str, scale: bool, fill: bool, device: str
) -> None:
    (N, chunk), V = lengths, 11
    indices = make_indices(distribution, (N,), V, GENERATOR.manual_seed(N))
    # the count divides each sum
    number = torch.bincount(indices, minlength=V)[indices]
    grad = torch.randint(-9, 9, (N, 6), generator=GENERATOR) * (number[:, None] if scale else 1)
    dtype = torch.float32 if N < 1000 else torch.float64  # the sums have to be exact
    out = summed(grad.to(device, dtype), indices, V, scale, chunk, fill)
    expected = torch.zeros(V, 6, dtype=torch.int64).index_add_(0, indices, grad)
    if scale:
        expected //= torch.bincount(indices, minlength=V).clamp(min=1)[:, None]
    assert torch.equal(out.cpu(), expected.to(dtype))


@pytest.mark.parametrize(
    ("dtype", "distribution", "D"),
    pairwise([torch.float16, torch.bfloat16, torch.float32, torch.float64], [*DISTRIBUTIONS], [1, 24, 130]),
    ids=str,
)
def test_sum_runs_is_within_the_rounding_bound(dtype: torch.dtype, distribution: str, D: int, device: str) -> None:
    indices = make_indices(distribution, (90,), 20, GENERATOR.manual_seed(D))
    grad = make_gradient((90, D), dtype, GENERATOR).to(device)
    for scale in (False, True):
        assert_within_bound(summed(grad, indices, 20, scale), grad, indices, 20, scale)


def test_sum_runs_takes_any_strides(device: str) -> None:
    indices = make_indices("zipf", (24,), 5, GENERATOR.manual_seed(0))
    base = torch.randn(24, 40, device=device)
    plain = base[:, :10].contiguous()
    variants = {
        "column stride": (base[:, ::4], base[:, ::4].contiguous()),
        "row stride": (base[:, :10], plain),
        "transposed": (plain.mT.contiguous().mT, plain),
        "one row for all": (plain[:1].expand(24, 10), plain[:1].repeat(24, 1)),
        "one number for all": (plain[:1, :1].expand(24, 10), plain[:1, :1].repeat(24, 10)),
        "two strides": (plain.view(4, 6, 10).transpose(0, 1), plain.view(4, 6, 10).transpose(0, 1).reshape(24, 10)),
    }
    for name, (strided, contiguous) in variants.items():
        assert torch.equal(summed(strided, indices, 5, False), summed(contiguous, indices, 5, False)), name


def test_sum_runs_drops_keys_beyond_the_output_unread(device: str) -> None:
    keys = torch.tensor([0, 0, 2, 3, 3], device=device)
    grad = torch.randn(5, 4, device=device)
    grad[3:] = float("nan")
    out = torch.zeros(3, 4, device=device)
    sum_runs(keys, torch.arange(5, device=device), grad, out, False, chunk=2)
    assert torch.equal(out, torch.stack([grad[0] + grad[1], torch.zeros_like(grad[0]), grad[2]]))


def test_sum_runs_does_not_depend_on_columns_beside(device: str) -> None:
    """The order of additions is a matter of N alone, so a column sums alike whatever stands next to it."""
    indices = make_indices("hot", (100,), 3, GENERATOR.manual_seed(1))
    grad = torch.randn(100, 300, device=device)
    whole = summed(grad, indices, 3, False)
    assert torch.equal(summed(grad[:, :7].contiguous(), indices, 3, False), whole[:, :7])


@pytest.mark.parametrize("past", [0, 1])
def test_sum_runs_at_the_chunk_thresholds(past: int, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "CHUNKS", ((300, CHUNKS[0][1]),))
    indices = make_indices("zipf", (300 + past,), 50, GENERATOR.manual_seed(past))
    grad = make_gradient((300 + past, 1), torch.float32, GENERATOR).to(device)
    assert pick_chunk(300 + past) == (LONGEST_CHUNK if past else CHUNKS[0][1])
    assert_within_bound(summed(grad, indices, 50, True), grad, indices, 50, True)


# Rows of one block, of several, and of a block that is not whole; few keys for them, and many.
ROWS = [(1, torch.float32), (5, torch.bfloat16), (24, torch.float64), (300, torch.float32)]


@pytest.mark.parametrize(
    ("row", "N", "distribution"), pairwise(ROWS, [1, 40, 300], ["uniform", "hot", "boundary"]), ids=str
)
def test_untouched_rows_are_filled_and_no_others(
    row: tuple[int, torch.dtype], N: int, distribution: str, device: str
) -> None:
    D, dtype = row
    rows = pick_fill(D, dtype.itemsize).rows
    for V in {1, 2, rows - 1, rows, rows + 1, 3 * rows - 2} if D < 100 else {rows + 1}:
        indices = make_indices(distribution, (N,), V, GENERATOR.manual_seed(V))
        grad = torch.ones(1, 1, dtype=dtype, device=device).expand(N, D)
        number = torch.bincount(indices, minlength=V)
        out = summed(grad, indices, V, True, fill=True)
        assert torch.equal(out.cpu(), (number > 0)[:, None].expand(V, D).to(dtype)), V


def test_fill_leaves_dropped_keys_out(device: str) -> None:
    keys = torch.tensor([1, 1, 5, 5, 5], device=device)
    out = torch.full((5, 3), float("nan"), device=device)
    sum_runs(keys, torch.arange(5, device=device), torch.ones(5, 3, device=device), out, False, fill=True)
    assert out[:, 0].tolist() == [0, 2, 0, 0, 0]


def test_fills_untouched_where_lookups_are_many_for_the_table() -> None:
    chunk = pick_chunk(0)
    for N in (chunk + 1, 1000, 1_000_000):
        assert fills_untouched(N, 1)
        assert fills_untouched(N, SPARSE_ROWS * N - 1)
        assert not fills_untouched(N, SPARSE_ROWS * N)
    assert not fills_untouched(chunk, 1)
    assert not fills_untouched(0, 0)

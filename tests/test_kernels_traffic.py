"""What gradients move, against the least that could be; and that an instrument counts what moves."""

import pytest
import torch
import triton
import triton.language as tl
from pairs import pairwise

from tembed import kernels, ops
from tembed.kernels import tiles
from tembed.parity.inputs import make_indices
from tembed.parity.instruments.hook import observed
from tembed.parity.instruments.traffic import Flow, Lookups, Traffic

pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")


@triton.jit
def copy_kernel(x_ptr, out_ptr, N, stride, BLOCK: tl.constexpr):
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + n, tl.load(x_ptr + n * stride, mask=n < N, other=0), mask=n < N)


def aligned(elements: int) -> torch.Tensor:
    """float32 zeros that begin where a sector does."""
    memory = torch.zeros(elements + 8)
    return memory[(-memory.data_ptr() // 4) % 8 :][:elements]


def test_traffic_counts_bytes_and_sectors_of_each_argument() -> None:
    x, out = aligned(40), aligned(10)
    with observed(Traffic()) as traffic:
        copy_kernel[(2,)](x, out, 10, 4, BLOCK=8)
    assert traffic.flows == [
        Flow(0, "copy_kernel", "x_ptr", "load", 2, bytes=40, distinct=40, sectors=5, distinct_sectors=5),
        Flow(0, "copy_kernel", "out_ptr", "store", 2, bytes=40, distinct=40, sectors=2, distinct_sectors=2),
    ]
    assert traffic.total() == 80
    assert traffic.total("sectors", kind="load") == 5
    with observed(Traffic()) as traffic:
        copy_kernel[(2,)](x, out, 10, 0, BLOCK=8)
    assert traffic.total("bytes", argument="x_ptr") == 40
    assert traffic.total("distinct", argument="x_ptr") == 4


def problem(N: int, V: int, D: int, dtype: torch.dtype, distribution: str) -> tuple[Lookups, torch.Tensor]:
    indices = make_indices(distribution, (N,), V, torch.Generator().manual_seed(0))
    return Lookups(N, len(indices.unique()), V, D, dtype.itemsize), indices


ROWS = ("grad_ptr", "out_ptr", "zeros_ptr", "partial_ptr")


def rows_moved(grad_output: torch.Tensor, indices: torch.Tensor, V: int, sparse: bool) -> tuple[Traffic, int]:
    with observed(Traffic()) as traffic:
        ops.gradient(grad_output, indices, V, -1, False, sparse)
    return traffic, sum(traffic.total(argument=name) for name in ROWS)


# A table with fewer rows than lookups, one with somewhat more, of which the untouched are filled, and one with many
# more, which gets its zeros all over. Partial sums of runs that cross a chunk's border are what comes on top.
@pytest.mark.parametrize(
    ("V", "row", "distribution"),
    pairwise([200, 1600, 10_000], [(40, torch.bfloat16), (64, torch.float32)], ["uniform", "zipf", "hot"]),
    ids=str,
)
def test_gradients_move_little_more_than_they_must(V: int, row: tuple[int, torch.dtype], distribution: str) -> None:
    N, (D, dtype) = 640, row
    sizes, indices = problem(N, V, D, dtype, distribution)
    limit = 1.10 if sizes.N <= 2 * sizes.U else 1.25
    grad_output = torch.randn(N, D).to(dtype)
    traffic, rows = rows_moved(grad_output, indices, V, False)
    assert 1 <= rows / sizes.dense_floor() <= limit
    assert traffic.total("bytes", kernel="sum_chunks_kernel", argument="grad_ptr") == sizes.rows(N)
    traffic, rows = rows_moved(grad_output, indices, V, True)
    assert 1 <= rows / sizes.sparse_floor() <= limit
    assert traffic.total("bytes", argument="out_ptr") == sizes.rows(sizes.U)


# Sorting and all: keys and orders weigh the more, the shorter a row.
RATIOS = {
    (120, 40, torch.bfloat16): (1.65, 1.75),
    (1600, 40, torch.bfloat16): (1.2, 1.75),
    (120, 64, torch.float32): (1.45, 1.3),
}


@pytest.mark.parametrize("distribution", ["uniform", "zipf", "hot"])
@pytest.mark.parametrize(("V", "D", "dtype"), RATIOS)
def test_sorting_moves_little_besides(
    V: int, D: int, dtype: torch.dtype, distribution: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiles, "FEW", 0)
    sizes, indices = problem(240, V, D, dtype, distribution)
    grad_output = torch.randn(240, D).to(dtype)
    for sparse, floor, limit in zip((False, True), (sizes.dense_floor(), sizes.sparse_floor()), RATIOS[V, D, dtype],
                                    strict=True):  # fmt: skip
        traffic, _ = rows_moved(grad_output, indices, V, sparse)
        assert 1 < traffic.total() / floor < limit


def test_scale_grad_by_freq_moves_lengths_besides() -> None:
    _, indices = problem(240, 120, 64, torch.float32, "zipf")
    moved = []
    for scale in (False, True):
        with observed(Traffic()) as traffic:
            ops.gradient(torch.randn(240, 64), indices, 120, -1, scale, True)
        moved.append(traffic.total())
    assert 0 < moved[1] - moved[0] == traffic.total(argument="length_ptr") + traffic.total(argument="next_length_ptr")
    assert moved[1] < 1.01 * moved[0]

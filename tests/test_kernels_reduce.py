import numpy as np
import pytest
import torch

from tembed.kernels.reduce import sum_runs
from tembed.kernels.tiles import FAN_IN, pick_chunk
from tembed.parity import oracle
from tembed.parity.inputs import DISTRIBUTIONS, make_gradient, make_indices

GENERATOR = torch.Generator()


def summed(grad: torch.Tensor, indices: torch.Tensor, V: int, scale: bool, chunk: int | None = None) -> torch.Tensor:
    keys, order = indices.to(grad.device).sort(stable=True)
    out = torch.zeros(V, grad.shape[-1], dtype=grad.dtype, device=grad.device)
    sum_runs(keys, order, grad, out, scale, chunk)
    return out


def assert_within_bound(out: torch.Tensor, grad: torch.Tensor, indices: torch.Tensor, V: int, scale: bool) -> None:
    dtype = str(grad.dtype).removeprefix("torch.")
    wide = grad.reshape(-1, grad.shape[-1]).double().cpu().numpy()
    expected = oracle.gradient(wide, indices.cpu().numpy(), V, None, scale, dtype)
    error = np.abs(out.double().cpu().numpy() - expected.value)
    assert (error <= expected.bound).all(), float((error - expected.bound).max())


# One chunk; a border crossed; one level of merging, full and just over; two levels.
LENGTHS = [(1, 16), (15, 16), (16, 16), (17, 16), (40, 4), (2 * FAN_IN, 2), (2 * FAN_IN + 1, 2), (FAN_IN**2 + 5, 1)]


@pytest.mark.parametrize(("N", "chunk"), LENGTHS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("scale", [False, True])
def test_sum_runs_is_exact_on_integers(N: int, chunk: int, distribution: str, scale: bool, device: str) -> None:
    V = 11
    indices = make_indices(distribution, (N,), V, GENERATOR.manual_seed(N))
    # the count divides each sum
    number = torch.bincount(indices, minlength=V)[indices]
    grad = torch.randint(-9, 9, (N, 6), generator=GENERATOR) * (number[:, None] if scale else 1)
    out = summed(grad.to(device, torch.float32), indices, V, scale, chunk)
    expected = torch.zeros(V, 6, dtype=torch.int64).index_add_(0, indices, grad)
    if scale:
        expected //= torch.bincount(indices, minlength=V).clamp(min=1)[:, None]
    assert torch.equal(out.cpu(), expected.float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("D", [1, 24, 130])
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
    sum_runs(keys, torch.arange(5, device=device), grad, out, False, 2)
    assert torch.equal(out, torch.stack([grad[0] + grad[1], torch.zeros_like(grad[0]), grad[2]]))


def test_sum_runs_does_not_depend_on_columns_beside(device: str) -> None:
    """The order of additions is a matter of N alone, so a column sums alike whatever stands next to it."""
    indices = make_indices("hot", (100,), 3, GENERATOR.manual_seed(1))
    grad = torch.randn(100, 300, device=device)
    whole = summed(grad, indices, 3, False)
    assert torch.equal(summed(grad[:, :7].contiguous(), indices, 3, False), whole[:, :7])


@pytest.mark.parametrize("N", [16_384, 16_385])
def test_sum_runs_at_the_chunk_thresholds(N: int, device: str) -> None:
    indices = make_indices("zipf", (N,), 50, GENERATOR.manual_seed(N))
    grad = make_gradient((N, 1), torch.float32, GENERATOR).to(device)
    assert pick_chunk(N) == (16 if N == 16_384 else 32)
    assert_within_bound(summed(grad, indices, 50, True), grad, indices, 50, True)

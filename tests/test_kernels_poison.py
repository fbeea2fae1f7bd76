"""What nobody wrote or loaded shows."""

import pytest
import torch
import triton
import triton.language as tl

from tembed import kernels
from tembed.parity.instruments import stacked
from tembed.parity.instruments.poison import poisoned_lanes, poisoned_memory

interpreted = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")


@triton.jit
def copy_kernel(x_ptr, out_ptr, N, BLOCK: tl.constexpr):
    n = tl.arange(0, BLOCK)
    tl.store(out_ptr + n, tl.load(x_ptr + n, mask=n < N, other=0), mask=n < N)


@triton.jit
def sum_kernel(x_ptr, out_ptr, N, OTHER: tl.constexpr, BLOCK: tl.constexpr):
    n = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + n, mask=n < N, other=0) if OTHER else tl.load(x_ptr + n, mask=n < N)
    tl.store(out_ptr, tl.sum(x, axis=0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.int8, torch.bool])
def test_an_element_that_a_kernel_leaves_out_shows(dtype: torch.dtype, device: str) -> None:
    x = torch.zeros(6, dtype=dtype, device=device)
    for written in (6, 5):
        with poisoned_memory():
            out = torch.empty_like(x)
        copy_kernel[(1,)](x, out, written, BLOCK=8)
        assert torch.equal(out, x) == (written == 6)


def test_memory_is_as_before_afterwards() -> None:
    fill = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        for state in ((False, False), (True, True), (True, False)):
            torch.use_deterministic_algorithms(state[0], warn_only=state[1])
            fill.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            with poisoned_memory():
                assert torch.empty(3).isnan().all()
                assert torch.is_deterministic_algorithms_warn_only_enabled()
            assert not fill.fill_uninitialized_memory  # type: ignore[attr-defined]
            found = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
            assert found == state
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        fill.fill_uninitialized_memory = True  # type: ignore[attr-defined]


@interpreted
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32])
def test_a_sum_over_lanes_that_nobody_loaded_shows(dtype: torch.dtype) -> None:
    x, out = torch.ones(6, dtype=dtype), torch.zeros(1, dtype=dtype)
    with poisoned_lanes():
        sum_kernel[(1,)](x, out, 6, OTHER=True, BLOCK=8)
        assert out.item() == 6
        sum_kernel[(1,)](x, out, 6, OTHER=False, BLOCK=8)
    assert out.isnan() if dtype.is_floating_point else out.item() == 4


@interpreted
def test_the_instrument_poisons_memory_and_lanes() -> None:
    out = torch.zeros(1)
    with stacked(["poison"]):
        assert torch.empty(2).isnan().all()
        sum_kernel[(1,)](torch.ones(6), out, 6, OTHER=False, BLOCK=8)
    assert out.isnan()

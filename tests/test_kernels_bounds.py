"""Every access outside the argument that its pointer came from is found, before it is done."""

import pytest
import torch
import triton
import triton.language as tl

from tembed import kernels
from tembed.parity.instruments.bounds import Bounds, OutOfBounds
from tembed.parity.instruments.hook import observed

pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")


@triton.jit
def shift_kernel(x_ptr, out_ptr, N, shift, stride, BLOCK: tl.constexpr):
    """out[n] = x[n + shift], for n < N."""
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out_ptr + n, tl.load(x_ptr + (n + shift) * stride, mask=n < N, other=0), mask=n < N)


@triton.jit
def store_past_kernel(x_ptr, scale, place):
    tl.store(x_ptr + place, scale)


@triton.jit
def count_past_kernel(x_ptr, place):
    tl.atomic_add(x_ptr + place, 1)


@triton.jit
def gather_kernel(x_ptr, indices_ptr, out_ptr, stride_v, stride_d, D: tl.constexpr):
    n = tl.program_id(0)
    d = tl.arange(0, D)
    tl.store(out_ptr + n * D + d, tl.load(x_ptr + tl.load(indices_ptr + n) * stride_v + d * stride_d))


@pytest.mark.parametrize(("shift", "element"), [(1, 6), (-1, -1)])
def test_a_load_of_one_element_too_many_is_found(shift: int, element: int) -> None:
    memory = torch.arange(20.0)
    x, out = memory[7:13], torch.empty(6)
    with observed(Bounds()):
        shift_kernel[(2,)](x, out, 6, 0, 1, BLOCK=4)
    assert torch.equal(out, x)
    message = rf"shift_kernel\[.*load outside x_ptr, of shape \[6\].* 1 lanes, the first at element {element}$"
    with pytest.raises(OutOfBounds, match=message), observed(Bounds()):
        shift_kernel[(2,)](x, out, 6, shift, 1, BLOCK=4)


@pytest.mark.parametrize("place", [3, -1, 2**40, -(2**40), 2**60])
def test_a_store_and_an_atomic_outside_are_found_and_not_done(place: int) -> None:
    memory = torch.zeros(9, dtype=torch.int32)
    for kernel, arguments in ((store_past_kernel, (5, place)), (count_past_kernel, (place,))):
        with pytest.raises(OutOfBounds, match=kernel.__name__), observed(Bounds()):
            kernel[(1,)](memory[3:6], *arguments)
    assert not memory.any()


def test_arguments_that_alias_are_told_apart() -> None:
    memory = torch.arange(10.0)
    with observed(Bounds()):
        shift_kernel[(1,)](memory[:5], memory, 5, 0, 1, BLOCK=8)
        shift_kernel[(1,)](memory, memory, 5, 5, 1, BLOCK=8)
    assert memory[:5].tolist() == [5, 6, 7, 8, 9]
    with pytest.raises(OutOfBounds, match=r"outside x_ptr, of shape \[5\]"), observed(Bounds()):
        shift_kernel[(1,)](memory[:5], memory, 5, 5, 1, BLOCK=8)


def test_gaps_of_a_strided_view_are_outside() -> None:
    wide, out = torch.arange(24.0).view(4, 6), torch.empty(2, 4)
    for x in (wide[:, :4], wide[:, ::3], wide.T[:4], wide[:1, :4].expand(4, 4)):
        D = min(x.shape[1], 2)
        with observed(Bounds()):
            gather_kernel[(2,)](x, torch.tensor([3, 0]), out.view(-1)[: 2 * D], *x.stride(), D=D)
        assert torch.equal(out.view(-1)[: 2 * D].view(2, D), x[[3, 0], :D])
    with pytest.raises(OutOfBounds, match=r"strides \[6, 1\].*at element 4$"), observed(Bounds()):
        shift_kernel[(1,)](wide[:, :4], out, 1, 4, 1, BLOCK=8)


def test_an_expanded_argument_has_one_element() -> None:
    x, out = torch.tensor([4.0]).expand(6), torch.empty(6)
    with observed(Bounds()):
        shift_kernel[(1,)](x, out, 6, 0, 0, BLOCK=8)
    assert out.tolist() == [4] * 6
    with pytest.raises(OutOfBounds, match=r"outside x_ptr.*element 1$"), observed(Bounds()):
        shift_kernel[(1,)](x, out, 6, 0, 1, BLOCK=8)


def test_an_empty_argument_may_be_passed_and_not_read() -> None:
    x, out = torch.empty(0), torch.empty(3)
    with observed(Bounds()):
        shift_kernel[(1,)](x, out, 0, 0, 1, BLOCK=4)
    with pytest.raises(OutOfBounds, match=r"outside x_ptr, of shape \[0\]"), observed(Bounds()):
        shift_kernel[(1,)](x, out, 1, 0, 1, BLOCK=4)


def test_a_wide_access_that_ends_outside_is_found() -> None:
    x = torch.zeros(6, dtype=torch.int32)
    with observed(Bounds()):
        store_past_kernel[(1,)](x[:4].view(torch.int64), 1, 1)
    with pytest.raises(OutOfBounds), observed(Bounds()):
        store_wide_kernel[(1,)](x, 5)
    with pytest.raises(OutOfBounds), observed(Bounds()):
        store_wide_kernel[(1,)](x[::2], 0)


@triton.jit
def store_wide_kernel(x_ptr, place):
    pair = (x_ptr + place).to(tl.pointer_type(tl.int64))
    tl.store(pair, 1)

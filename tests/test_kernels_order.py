"""Other orders of programs: they find a race that the interpreter's order hides, and run every program once."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from planted import renorm_in_place_kernel

from tembed import kernels
from tembed.parity.instruments.order import interleaved_programs, reversed_programs, shuffled_programs

pytest.importorskip("greenlet", reason="programs are interleaved by greenlet")
pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")
ORDERS = {
    "reversed": reversed_programs,
    "shuffled": lambda: shuffled_programs(3),
    "interleaved": lambda: interleaved_programs(3, torn=False),
    "torn": lambda: interleaved_programs(3),
}


@triton.jit
def double_kernel(x_ptr, N, BLOCK: tl.constexpr):
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(x_ptr + n, tl.load(x_ptr + n, mask=n < N, other=0) * 2, mask=n < N)


@triton.jit
def take_turns_kernel(turn_ptr, out_ptr):
    """Each program notes how many went before it."""
    tl.store(out_ptr + tl.program_id(1), tl.atomic_add(turn_ptr, 1))


@triton.jit
def divide_kernel(x_ptr, out_ptr):
    n = tl.program_id(0)
    tl.store(out_ptr + n, tl.load(x_ptr + n) / tl.load(x_ptr + n))


def renormed() -> torch.Tensor:
    weight = torch.arange(32.0).view(2, 16)
    renorm_in_place_kernel[(6,)](weight, torch.tensor([1, 1, 0, 1, 0, 1]), D=16)
    return weight


def test_torn_interleaving_shows_a_race_that_whole_programs_hide() -> None:
    expected = renormed()
    with reversed_programs():
        assert torch.equal(renormed(), expected)
    differ = 0
    for seed in range(10):
        with shuffled_programs(seed):
            assert torch.equal(renormed(), expected)
        with interleaved_programs(seed):
            differ += not torch.equal(renormed(), expected)
    assert differ >= 5


@pytest.mark.parametrize("order", ORDERS)
def test_order_runs_every_program_once(order: str) -> None:
    x = torch.arange(37, dtype=torch.int32)
    with ORDERS[order]():
        double_kernel[(10,)](x, 37, BLOCK=4)
    assert torch.equal(x, torch.arange(37, dtype=torch.int32) * 2)


def test_orders_are_the_named_ones() -> None:
    found = {}
    for name, order in ORDERS.items():
        turn, out = torch.zeros(1, dtype=torch.int32), torch.zeros(12, dtype=torch.int32)
        with order():
            take_turns_kernel[(1, 12)](turn, out)
        found[name] = out.tolist()
        assert sorted(found[name]) == list(range(12))
    assert found["reversed"] == list(range(12))[::-1]
    assert found["shuffled"] not in (list(range(12)), list(range(12))[::-1])


@pytest.mark.parametrize("order", ORDERS)
def test_order_lets_a_programs_error_through_and_ends_the_others(order: str) -> None:
    with pytest.raises(Exception, match="Cannot bitcast"), ORDERS[order]():
        broken_kernel[(4,)](torch.zeros(4))
    x = torch.ones(4, dtype=torch.int32)
    double_kernel[(1,)](x, 4, BLOCK=4)
    assert x.tolist() == [2] * 4


@triton.jit
def broken_kernel(x_ptr):
    x = tl.load(x_ptr + tl.program_id(0))
    tl.store(x_ptr, x.to(tl.int8, bitcast=True))


def test_interleaved_programs_keep_numpys_error_state() -> None:
    out = torch.zeros(3)
    with np.errstate(all="raise"), pytest.raises(Exception, match="invalid value"), interleaved_programs():
        divide_kernel[(3,)](torch.zeros(3), out)
    with interleaved_programs():
        divide_kernel[(3,)](torch.zeros(3), out)
    assert out.isnan().all()

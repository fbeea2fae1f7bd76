"""Races are found in one sequential run, with the kernel's and the argument's name; what is allowed is counted."""

from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from planted import renorm_in_place_kernel

from tembed import kernels, ops
from tembed.parity.instruments.hook import observed
from tembed.parity.instruments.order import interleaved_programs
from tembed.parity.instruments.races import Race, Races

pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")


@triton.jit
def store_kernel(out_ptr, STRIDE: tl.constexpr, OWN: tl.constexpr, BLOCK: tl.constexpr):
    """Lane k of each program stores to k * STRIDE: one value, or the program's own."""
    value = tl.program_id(0) if OWN else 7
    tl.store(out_ptr + tl.arange(0, BLOCK) * STRIDE, value)


@triton.jit
def store_lanes_kernel(out_ptr, EQUAL: tl.constexpr):
    lane = tl.arange(0, 4)
    tl.store(out_ptr + lane // 2, lane // 2 if EQUAL else lane)


@triton.jit
def count_kernel(count_ptr, READ: tl.constexpr):
    if READ:
        tl.load(count_ptr)
    else:
        tl.atomic_add(count_ptr, 1)


@triton.jit
def count_and_read_kernel(count_ptr, out_ptr):
    n = tl.program_id(0)
    if n % 2 == 0:
        tl.atomic_add(count_ptr, 1)
    else:
        tl.store(out_ptr + n, tl.load(count_ptr))


@triton.jit
def neighbour_kernel(x_ptr, BARRIER: tl.constexpr):
    lane = tl.arange(0, 4)
    tl.store(x_ptr + lane, lane)
    if BARRIER:
        tl.debug_barrier()
    tl.store(x_ptr + 4 + lane, tl.load(x_ptr + 3 - lane))


@triton.jit
def store_halves_kernel(wide_ptr, narrow_ptr):
    """Program 0 stores a pair of the numbers that program 1 stores the second of."""
    if tl.program_id(0) == 0:
        tl.store(wide_ptr, 1)
    else:
        tl.store(narrow_ptr + 1, 1)


def test_a_renorm_in_one_launch_is_a_race() -> None:
    weight = torch.arange(48.0).view(3, 16)
    with observed(Races()):
        renorm_in_place_kernel[(3,)](weight, torch.tensor([2, 0, 1]), D=16)
    for identical in (False, True):
        with (
            pytest.raises(Race, match=r"renorm_in_place_kernel: .* 16 elements .*weight_ptr\[32\]: load and store"),
            observed(Races(identical_stores=identical)),
        ):
            renorm_in_place_kernel[(3,)](weight, torch.tensor([2, 0, 2]), D=16)


def test_equal_stores_of_several_programs_are_allowed_only_when_asked_for() -> None:
    out = torch.zeros(8, dtype=torch.int32)
    with (
        pytest.raises(Race, match=r"store_kernel: .*out_ptr\[0\]: store, by \[0, 0, 0\] and \[2, 0, 0\]"),
        observed(Races()),
    ):
        store_kernel[(3,)](out, STRIDE=2, OWN=False, BLOCK=4)
    with observed(Races(identical_stores=True)) as races:
        store_kernel[(3,)](out, STRIDE=2, OWN=False, BLOCK=4)
    assert races.identical == {("store_kernel", "out_ptr"): 4}
    with pytest.raises(Race, match="store_kernel"), observed(Races(identical_stores=True)):
        store_kernel[(3,)](out, STRIDE=2, OWN=True, BLOCK=4)


@pytest.mark.parametrize("identical", [False, True])
def test_lanes_of_one_store_with_different_values_are_a_race(identical: bool) -> None:
    out = torch.zeros(2, dtype=torch.int32)
    with pytest.raises(Race, match=r"different values to out_ptr\[0\]"), observed(Races(identical)):
        store_lanes_kernel[(1,)](out, EQUAL=False)


def test_lanes_of_one_store_with_equal_values_are_allowed_with_equal_stores() -> None:
    out = torch.zeros(2, dtype=torch.int32)
    with observed(Races(identical_stores=True)):
        store_lanes_kernel[(1,)](out, EQUAL=True)
    with pytest.raises(Race, match=r"equal values to out_ptr\[0\]"), observed(Races()):
        store_lanes_kernel[(1,)](out, EQUAL=True)


def test_loads_alone_and_atomics_alone_are_no_race() -> None:
    count = torch.zeros(1, dtype=torch.int32)
    with observed(Races()):
        count_kernel[(5,)](count, READ=True)
        count_kernel[(5,)](count, READ=False)
    assert count.item() == 5


def test_a_load_among_atomics_is_a_race() -> None:
    count, out = torch.zeros(1, dtype=torch.int32), torch.zeros(4, dtype=torch.int32)
    with pytest.raises(Race, match=r"count_ptr\[0\]: load and atomic"), observed(Races(identical_stores=True)):
        count_and_read_kernel[(4,)](count, out)


def test_a_program_waits_before_it_loads_what_it_stored() -> None:
    x = torch.zeros(8, dtype=torch.int32)
    with observed(Races()):
        neighbour_kernel[(1,)](x, BARRIER=True)
    assert x.tolist() == [0, 1, 2, 3, 3, 2, 1, 0]
    with pytest.raises(Race, match=r"neighbour_kernel\[0, 0, 0\]: loads x_ptr\[3\].*no barrier"), observed(Races()):
        neighbour_kernel[(1,)](x, BARRIER=False)


def test_accesses_of_different_sizes_share_cells() -> None:
    memory = torch.zeros(2, dtype=torch.int64)
    with pytest.raises(Race, match=r"store_halves_kernel: .* 1 elements"), observed(Races(identical_stores=True)):
        store_halves_kernel[(2,)](memory, memory.view(torch.int32))


def test_a_race_in_a_backward_reaches_the_caller() -> None:
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
            store_kernel[(3,)](grad, STRIDE=1, OWN=True, BLOCK=4)
            return grad

    pytest.importorskip("greenlet", reason="programs are interleaved by greenlet")
    x = torch.ones(4, requires_grad=True)
    with pytest.raises(Race, match="store_kernel"), interleaved_programs(), observed(Races()):
        Twice.apply(x).backward(torch.ones(4))


def test_max_norm_writes_duplicates_back_with_equal_bits() -> None:
    weight = torch.arange(1.0, 161.0).view(4, 40)
    # 16 lookups a program: rows 1 and 2 are looked up in two of them
    indices = torch.tensor([1] * 10 + [2] * 10 + [3])
    with observed(Races(identical_stores=True)) as races:
        ops.renorm_lookup(weight, indices, 1.0, 2.0)
    assert races.identical == {("write_back_rows_kernel", "weight_ptr"): 40}
    with pytest.raises(Race, match=r"write_back_rows_kernel.* weight_ptr\[40\]"), observed(Races()):
        ops.renorm_lookup(weight * 9, indices, 1.0, 2.0)

"""What is allocated at once on the CPU is counted: all of it, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tembed.bench.memory import Allocations, taken_by

V = 300


def _copying(grad_output: Tensor) -> Tensor:
    copied = grad_output.contiguous()
    return torch.zeros(V, copied.shape[1], dtype=copied.dtype).index_add_(0, INDICES, copied)


def _widening(grad_output: Tensor) -> Tensor:
    wide = grad_output.float() * 1
    sums = torch.zeros(V, wide.shape[1]).index_add_(0, INDICES, wide)
    return sums.to(grad_output.dtype)


def _frugal(grad_output: Tensor) -> Tensor:
    return torch.zeros(V, grad_output.shape[1], dtype=grad_output.dtype).index_add_(0, INDICES, grad_output)


INDICES = torch.arange(200)
PLANTED: list[tuple[Any, list[str]]] = [
    (_frugal, []),
    (_copying, ["120,000 bytes are allocated at once beyond the gradient, 29,600 allowed"]),
    (_widening, ["bytes are allocated at once", "a temporary of 360,000 bytes is as large as the output's gradient"]),
]


@pytest.mark.parametrize(("make", "says"), PLANTED, ids=[make.__name__ for make, _ in PLANTED])
def test_planted_temporaries_are_noticed(make: Callable[[Tensor], Tensor], says: list[str]) -> None:
    _, taken = taken_by(make, torch.ones(200, 1, dtype=torch.bfloat16).expand(200, 300))
    found = list(taken.faults())
    assert len(found) == len(says)
    assert all(part in fault for part, fault in zip(says, found, strict=True)), found


def test_what_is_freed_is_not_counted_and_what_was_there_neither() -> None:
    before = torch.ones(1000)
    with Allocations() as allocations:
        assert allocations.peak == 0
        before.view(10, 100).add_(1)
        before[3:5].t().mul_(2)
        assert allocations.peak == 0
        for _ in range(3):
            first = before + 1
            second = first.view(100, 10)[:, 0]
            del first
            assert allocations.peak == 4000
            del second
        kept = before.new_empty(500)
        assert allocations.peak == 4000
        _ = [kept.clone(), kept.clone()]
        assert allocations.peak == 6000


def test_a_sparse_gradient_is_no_temporary() -> None:
    def make(grad_output: Tensor) -> Tensor:
        return torch.sparse_coo_tensor(torch.arange(200)[None], grad_output * 2, (V, 300), check_invariants=False)

    _, taken = taken_by(make, torch.ones(200, 300))
    assert (taken.beyond, taken.largest, list(taken.faults())) == (0, 0, [])
    assert (taken.allowed, taken.output) == (64 * 200 + 2 * 7 * 300 * 4, 200 * 300 * 4)

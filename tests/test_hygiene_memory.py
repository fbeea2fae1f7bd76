"""Training for long: no tensor, no object of Python's and no memory is left behind by a step."""

import ctypes
import gc
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hygiene_leaks import KINDS, LEAST_BYTES, STATM, STEPS, WARM_UP, leaks

import tembed
from tembed import kernels

INTERPRETED_STEPS, INTERPRETED_WARM_UP = 12, 4  # of a tenth of a second
V, D = 50, 8
LENGTHS = (1, 7, 16, 33)

OPTIONS: dict[str, dict[str, Any]] = {
    "dense": {"padding_idx": 2},
    "sparse": {"sparse": True},
    "max_norm": {"max_norm": 1.0, "sparse": True},
}


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without poison, and without looking again and again at all that was there before."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def training(options: dict[str, Any], device: str) -> Callable[[int], None]:
    """A function that trains for so many steps, of lengths in turns."""
    table = tembed.Embedding(V, D, device=device, **options)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.01)
    batches = [torch.randint(0, V, (N,), device=device) for N in LENGTHS]

    def train(steps: int) -> None:
        for step in range(steps):
            optimizer.zero_grad()
            table(batches[step % len(batches)]).sum().backward()
            optimizer.step()

    return train


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_leave_no_memory_behind(name: str, device: str) -> None:
    if kernels.interpreted():  # fewer, of which only some leaks show but every tensor
        counts = INTERPRETED_STEPS, INTERPRETED_WARM_UP
    elif name == "max_norm":
        counts = STEPS // 10, WARM_UP // 10
    else:
        counts = STEPS, WARM_UP
    assert leaks(training(OPTIONS[name], device), *counts) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_ten_thousand_steps_of_any_kind_leave_no_memory_behind(name: str, device: str) -> None:
    assert leaks(training(OPTIONS[name], device), STEPS, WARM_UP) == set()


def page() -> mmap.mmap:
    """A page of its own, in use: malloc may have memory left that is resident already."""
    its = mmap.mmap(-1, mmap.PAGESIZE)
    its[0] = 1
    return its


@pytest.mark.parametrize("kind", KINDS)
def test_a_leak_is_noticed(kind: str) -> None:
    C = ctypes.CDLL(None)
    if (kind == "resident" and not STATM.exists()) or (kind == "malloc" and not hasattr(C, "mallinfo2")):
        pytest.skip("this system does not say")
    kept: list[Any] = []
    leave = {
        "tensor": lambda: kept.append(torch.empty(1)),
        "object": lambda: kept.append(object()),
        "malloc": lambda: C.malloc(LEAST_BYTES),
        "resident": lambda: kept.append(page()),
    }[kind]

    def run(steps: int) -> None:
        for _ in range(steps):
            leave()

    assert kind in leaks(run, STEPS, 10)


def test_steps_leave_no_memory_of_a_gpu_behind(device: str) -> None:
    if device != "cuda":
        pytest.skip("needs a GPU, whose memory is counted")
    for options in OPTIONS.values():
        train = training(options, device)
        train(WARM_UP)
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        train(WARM_UP)
        torch.cuda.synchronize()
        assert (torch.cuda.memory_allocated(), torch.cuda.memory_reserved()) == before

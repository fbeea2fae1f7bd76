"""Kernels that Triton compiles: by columns, types and regimes of size, and none for another N or V of those.

On a GPU they are compiled; without one Triton's binder says what it would compile, and nothing is.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tembed import kernels, ops
from tembed.bench.stubbed import stubbed_launches
from tembed.kernels import WORDS, Report

pytestmark = pytest.mark.skipif(
    kernels.interpreted() or not kernels.installed(), reason="needs Triton, which is not to interpret"
)
Call = Callable[[Tensor, Tensor, Tensor], Any]
SLOTS = 65


def report(weight: Tensor, indices: Tensor) -> Report:
    """In another slot for another size, 0, 1 and multiples of 16 among them."""
    words = torch.zeros(1 + SLOTS * WORDS, dtype=torch.int64, device=weight.device)
    return words, len(indices) % SLOTS, len(weight)


CALLS: dict[str, Call] = {
    "lookup": lambda weight, indices, grad: ops.lookup(weight, indices, report=report(weight, indices)),
    "unreported lookup": lambda weight, indices, grad: ops.lookup(weight, indices),
    "max_norm": lambda weight, indices, grad: ops.renorm_lookup(
        weight, indices, 1.0, 2.0, report=report(weight, indices)
    ),
    "unreported max_norm": lambda weight, indices, grad: ops.renorm_lookup(weight, indices, 1.0, 2.0),
    "marked": lambda weight, indices, grad: ops.mark_bad(indices, len(weight), report(weight, indices)),
    "dense": lambda weight, indices, grad: ops.gradient(grad, indices, len(weight), -1, True, False),
    "sparse": lambda weight, indices, grad: ops.gradient(grad, indices, len(weight), -1, True, True),
}
# The most kernels of each name that tables of one D and dtype ask for. Keys of three types (V up to 127, up to 32,767,
# and more), numbers divisible by 16 or not, 1 to 64 chunks of a program by powers of two, and torch's sort or ours.
LIMITS = {
    "gather_rows_kernel": 1,
    "renorm_rows_kernel": 1,
    "mark_bad_indices_kernel": 1,
    "write_back_rows_kernel": 1,
    "encode_keys_kernel": 3,
    "rank_lookups_kernel": 12,
    "sum_chunks_kernel": 48,
    "merge_partials_kernel": 24,
    "finish_kernel": 15,
    "mark_starts_kernel": 3,
    "write_unique_kernel": 3,
}


class _Nothing:
    """In place of a compiled kernel: marks one run, so that there is something to sum."""

    function = packed_metadata = None

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def launch_metadata(self, *args: Any) -> None: ...

    def run(self, *args: Any) -> None:
        named = dict(zip(self.names, args[-len(self.names) :], strict=True))
        for name in ("begins_ptr", "starts_ptr"):
            if name in named and named[name].dtype == torch.int8:
                named[name].zero_()[:1] = 1


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, set[str]]]:
    """The keys of what Triton compiles, by the names of kernels; each kernel is new to it."""
    from triton.runtime import jit

    found: dict[str, set[str]] = defaultdict(set)
    original, native = jit.JITFunction._do_compile, torch.cuda.is_available()

    def compile(self: Any, key: str, signature: Any, device: Any, *args: Any) -> Any:
        found[self.__name__].add(key)
        if native:
            return original(self, key, signature, device, *args)
        self.device_caches[device][0][key] = nothing = _Nothing(self.arg_names)
        return nothing

    with ExitStack() as stack:
        if not native:
            stack.enter_context(stubbed_launches())
        stack.enter_context(patch.object(jit.JITFunction, "_do_compile", compile))
        from tembed.kernels import chunks, gather, launchers, merge, rank, renorm, reports, runs
        from tembed.kernels.launch import Launch

        assert launchers
        for module in (chunks, gather, merge, rank, renorm, reports, runs):
            for value in vars(module).values():
                if isinstance(value, jit.JITFunction) and value.__name__.endswith("_kernel"):
                    monkeypatch.setattr(value, "device_caches", defaultdict(value.create_binder))
        for module in (gather, renorm):
            for value in vars(module).values():
                if isinstance(value, Launch):
                    monkeypatch.setattr(value, "_kept", {})
        yield found


def called(call: Call, V: int, N: int, D: int, device: str) -> None:
    indices = torch.zeros(N, dtype=torch.int64, device=device)
    call(torch.ones(V, D, device=device), indices, torch.ones(N, D, device=device))


def count(compiled: dict[str, set[str]]) -> int:
    return sum(map(len, compiled.values()))


@pytest.mark.parametrize("name", ["lookup", "unreported lookup", "max_norm", "unreported max_norm", "marked"])
def test_a_lookup_compiles_once_whatever_N_and_V(name: str, compiled: dict[str, set[str]], device: str) -> None:
    called(CALLS[name], 50, 8, 6, device)
    before = count(compiled)
    assert before > 0
    for V in (1, 2, 7, 16, 127, 128, 4096, 40_000):
        for N in (1, 2, 3, 15, 16, 17, 64, SLOTS, 1000, 100_000):
            called(CALLS[name], V, N, 6, device)
    assert count(compiled) == before
    assert all(len(compiled[kernel]) <= LIMITS[kernel] for kernel in compiled)


@pytest.mark.parametrize("name", ["dense", "sparse"])
def test_a_gradient_compiles_for_regimes_of_size_and_no_more(
    name: str, compiled: dict[str, set[str]], device: str
) -> None:
    D = 6 if device == "cpu" else 1024  # of which a program takes one chunk, so that there are few to compile
    for V in (1, 100, 101, 104, 1000, 1001, 40_000, 40_001):
        for N in (1, 5000, *(32 * 2**k for k in range(1, 14))):
            called(CALLS[name], V, N, D, device)
    before = count(compiled)
    generator = random.Random(0)
    for _ in range(150):
        V, N = (int(2 ** generator.uniform(0, most)) for most in (17, 15))
        called(CALLS[name], V, N, D, device)
    assert count(compiled) == before
    assert {kernel: len(keys) for kernel, keys in compiled.items() if len(keys) > LIMITS[kernel]} == {}


def test_another_length_of_rows_compiles_again(compiled: dict[str, set[str]], device: str) -> None:
    called(CALLS["lookup"], 50, 8, 6, device)
    called(CALLS["lookup"], 50, 8, 7, device)
    assert len(compiled["gather_rows_kernel"]) == 2

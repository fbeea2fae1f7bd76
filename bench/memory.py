"""Memory that is allocated at once while a gradient is made, beyond the gradient itself, against what may be."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from tembed.bench.torch_moved import interpreting, tensors_in
from tembed.kernels import tiles

LOOKUP_BYTES = 64  # for each lookup: keys, orders and numbers of runs, before, during and after a sort
# Of torch's allocator on CUDA, bytes that were asked for: what it gives are blocks, which may be larger.
REQUESTED = "requested_bytes.all.{}"


class Allocations(TorchDispatchMode):
    """Follows what is allocated by the operations within it: the `peak`, and every piece of memory that is new.

    A piece counts from the operation that returns it until nothing refers to it. What an operation allocates and frees
    within itself, as torch.sort does, is not seen; nor is what Triton's interpreter makes to run a kernel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self.pieces: dict[int, Piece] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:  # fmt: skip
        """Runs the operation and looks at its results."""
        result = func(*args, **(kwargs or {}))
        if not interpreting():
            # what is first seen as an argument was there before
            for fresh, tensors in ((False, tensors_in((args, kwargs))), (True, tensors_in(result))):
                for tensor in tensors:
                    piece = Piece.of(tensor, fresh)
                    self.pieces.setdefault(piece.memory.cdata, piece)
            self.peak = max(self.peak, sum(piece.bytes for piece in self.pieces.values() if not piece.freed))
        return result


@dataclass(frozen=True)
class Piece:
    """Memory of a tensor: how much of it is new, whether it holds floating point numbers, and a weak reference."""

    memory: StorageWeakRef
    bytes: int
    floating: bool

    @classmethod
    def of(cls, tensor: Tensor, fresh: bool) -> "Piece":
        """What a tensor lies in; of what is not fresh nothing is new."""
        storage = tensor.untyped_storage()
        return cls(StorageWeakRef(storage), storage.nbytes() if fresh else 0, tensor.is_floating_point())

    @property
    def freed(self) -> bool:
        """Whether nothing refers to it any more."""
        return bool(self.memory.expired())


@dataclass(frozen=True)
class Taken:
    """What a gradient took beyond itself, and may take.

    Args:
        beyond: the most bytes at once.
        allowed: how many there may be.
        largest: the largest single piece of floating point numbers; None on CUDA, whose allocator does not tell.
        output: bytes of the output's gradient in float32, which no piece may have.
    """

    beyond: int
    allowed: int
    largest: int | None
    output: int

    def faults(self) -> Iterator[str]:
        """What is wrong with it, one sentence each."""
        if self.beyond > self.allowed:
            yield f"{self.beyond:,} bytes are allocated at once beyond the gradient, {self.allowed:,} allowed"
        if self.largest is not None and self.largest >= self.output:
            yield f"a temporary of {self.largest:,} bytes is as large as the output's gradient in float32"


def allowed(N: int, D: int, itemsize: int) -> int:
    """The most bytes beyond the gradient: some for each lookup, and two partial sums for each chunk of them."""
    wide = max(4, itemsize)
    return LOOKUP_BYTES * N + 2 * ceil(N / tiles.pick_chunk(N)) * D * wide


def taken_by(make: Callable[[Tensor], Tensor], grad_output: Tensor) -> tuple[Tensor, Taken]:
    """A gradient made of the output's [..., D], and what that took, by torch's allocator on CUDA, else Allocations."""
    D = grad_output.shape[-1]
    N, on_cuda = grad_output.numel() // D, grad_output.is_cuda
    found, peak, pieces = (_on_cuda if on_cuda else _watched)(partial(make, grad_output))
    parts = [found] if found.layout == torch.strided else [found._indices(), found._values()]
    own = {StorageWeakRef(part.untyped_storage()).cdata for part in parts}
    others = (piece.bytes for key, piece in pieces.items() if key not in own and piece.floating)
    largest = None if on_cuda else max(others, default=0)
    limit = allowed(N, D, grad_output.element_size())
    return found, Taken(peak - sum(part.nbytes for part in parts), limit, largest, N * D * 4)


def _on_cuda(run: Callable[[], Tensor]) -> tuple[Tensor, int, dict[int, Piece]]:
    run()  # what is allocated by a first call only is none of it
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_stats()[REQUESTED.format("current")]
    found = run()
    torch.cuda.synchronize()
    return found, torch.cuda.memory_stats()[REQUESTED.format("peak")] - before, {}


def _watched(run: Callable[[], Tensor]) -> tuple[Tensor, int, dict[int, Piece]]:
    with Allocations() as allocations:
        found = run()
    return found, allocations.peak, allocations.pieces

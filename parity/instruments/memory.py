"""Where tensors lie in memory, and which cells of it accesses touch."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

Addresses = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Region:
    """The bytes between a tensor's first and its last; `shape` and `stride` tell which of them are its own."""

    begin: int
    end: int
    itemsize: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, tensor: Tensor) -> "Region":
        """An empty tensor's has no bytes."""
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        elements = sum((size - 1) * stride for size, stride in steps) + 1 if tensor.numel() else 0
        begin, itemsize = tensor.data_ptr(), tensor.element_size()
        return cls(begin, begin + elements * itemsize, itemsize, tuple(tensor.shape), tensor.stride())

    def holes(self) -> npt.NDArray[np.bool_]:
        """For each element from the first to the last whether it lies between the tensor's own."""
        hole = np.ones((self.end - self.begin) // self.itemsize, bool)
        if hole.size:
            # numpy, unlike torch, fills a view whose elements overlap
            np.lib.stride_tricks.as_strided(hole, self.shape, self.stride)[...] = False
        return hole


def grain_of(touched: Iterable[tuple[Addresses, int]]) -> int:
    """The largest cell that all accesses, each some addresses and a size, are made of: the smallest size, or a byte."""
    touched = list(touched)
    grain = min(size for _, size in touched)
    return grain if all((addresses % np.uint64(grain) == 0).all() for addresses, _ in touched) else 1


def cells(addresses: Addresses, size: int, grain: int) -> Addresses:
    """The addresses of the cells of `grain` bytes that elements of `size` bytes are made of, element by element."""
    return (addresses[:, None] + np.arange(0, size, grain, dtype=np.uint64)).reshape(-1)

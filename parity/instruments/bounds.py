"""Every access against the tensor argument that its pointer came from.

Each gets an address space of its own, in which its pointers live while a program computes with them, so that an
access past one argument is never taken for one to its neighbour. Accesses are translated back.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .memory import Addresses, Region
from .observer import Access, Finding, Launch, Observer

SPACE_BITS = 44
# The number of the first space: no real address has so high a one.
FIRST_SPACE = 1 << 12
# Base addresses keep their place in a page, and with it their alignment.
PAGE = 4096


class OutOfBounds(Finding):
    """An access to what does not belong to the argument whose pointer it was computed from."""


class _Space:
    """The address space of one argument, which lies in the middle of it."""

    def __init__(self, name: str, region: Region, number: int) -> None:
        self.name, self.region = name, region
        self.base = (number << SPACE_BITS) + (1 << SPACE_BITS - 1) + region.begin % PAGE
        self.holes = region.holes()

    def outside(self, offsets: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.bool_]:
        """Which accesses, by their distance in bytes from the first element, touch what is not the tensor's."""
        bad = (offsets < 0) | (offsets + size > self.region.end - self.region.begin)
        if self.holes.any():
            for byte in {*range(0, size, self.region.itemsize), size - 1}:
                element = (offsets + byte) // self.region.itemsize
                bad |= self.holes[np.clip(element, 0, len(self.holes) - 1)]
        return bad


class Bounds(Observer):
    """Raises OutOfBounds at an access outside its argument, before it is done; gaps of strided views are outside.

    Enter it last: other observers are to see the real addresses. Pointers in tuples or descriptors that are
    arguments themselves are not followed.
    """

    def __init__(self) -> None:
        self._spaces: list[_Space] = []

    def arguments(self, launch: Launch, arguments: dict[str, Any]) -> dict[str, Any]:
        """Pointers to the beginning of each argument's own space."""
        import triton.language as tl
        from triton.runtime.interpreter import TensorHandle

        regions = enumerate(launch.regions.items(), FIRST_SPACE)
        self._spaces = [_Space(name, region, number) for number, (name, region) in regions]
        spaces = {space.name: space for space in self._spaces}
        return {
            name: tl.tensor(TensorHandle(np.array([spaces[name].base], np.uint64), value.type), value.type)
            if name in spaces
            else value
            for name, value in arguments.items()
        }

    def access(self, launch: Launch, access: Access, proceed: Callable[[Access], Any]) -> Any:  # noqa: D102
        from triton.runtime.interpreter import TensorHandle

        pointers = access["pointers"]
        addresses = np.array(pointers.data, np.uint64)
        active = access.active
        if active.any():
            addresses[active] = self._real(launch, access, addresses[active])
        return proceed(access.having(pointers=TensorHandle(addresses, pointers.dtype)))

    def _real(self, launch: Launch, access: Access, addresses: Addresses) -> Addresses:
        """The addresses that those in spaces stand for."""
        real = addresses.copy()
        number = (addresses >> np.uint64(SPACE_BITS)).astype(np.int64) - FIRST_SPACE
        for k in np.unique(number):
            here = number == k
            if not 0 <= k < len(self._spaces):
                place = f"at {int(addresses[here][0]):#x}, near no argument"
                raise OutOfBounds(f"{launch.here}: {access.kind} {place}")
            space = self._spaces[k]
            offsets = addresses[here].astype(np.int64) - space.base
            bad = space.outside(offsets, access.size)
            if bad.any():
                element = int(offsets[bad][0]) // space.region.itemsize
                raise OutOfBounds(
                    f"{launch.here}: {access.kind} outside {space.name}, of shape {list(space.region.shape)} and "
                    f"strides {list(space.region.stride)}: {int(bad.sum())} lanes, the first at element {element}"
                )
            real[here] = (offsets + space.region.begin).astype(np.uint64)
        return real

"""Where kernels report bad indices: slots of pinned memory, and what the host remembers of the launch that has each.

Slots go round: by the time that one is used again its launch has long ended, for a device queues fewer launches than
there are slots. A launch that is captured in a CUDA graph has a slot among those of captured ones. One flag says
whether any slot has something to report: it is all that a call looks at, and it waits for nothing.
"""

import ctypes
import os
import threading
from itertools import count

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from . import checks, kernels
from .kernels import WORDS
from .names import name_at

SLOTS = 4096  # of launches, and as many of captured ones

# What the host remembers of a launch: the input's shape, the rows and the address of the table. No tensor: it would be
# kept alive.
Launch = tuple[torch.Size, int, int]


class Memory:
    """The slots of one device."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        size = 1 + 2 * SLOTS * WORDS
        with _disable_current_modes():
            self.pinned = device.type in kernels.ACCELERATORS
            self.words = torch.zeros(size, dtype=torch.int64, device="cpu", pin_memory=self.pinned)
        self.view = memoryview((ctypes.c_int64 * size).from_address(self.words.data_ptr())).cast("B").cast("q")
        self.launches: list[Launch | None] = [None] * (2 * SLOTS)
        self.kinds: dict[Launch, Launch] = {}
        self.next = count().__next__
        self.next_captured = count().__next__
        # whether what is launched now becomes part of a CUDA graph: then nothing may wait for the device
        self.capturing = torch._C._cuda_isCurrentStreamCapturing if device.type == "cuda" else bool
        self.lock = threading.RLock()  # a handler of signals may ask, too

    def collect(self, wait: bool = True) -> list[str]:
        """What launches have reported, in their order; it is not there any more afterwards. Waits for the device."""
        with self.lock:
            found: list[int] = []
            try:
                self.view[0] = 0  # before waiting: whatever is reported from here on raises the flag again
                if wait and self.pinned:
                    torch.get_device_module(self.device.type).synchronize(self.device)
                # from the oldest slot on, which is the next that is taken; then captured ones
                latest = self.next() % SLOTS
                order = [*range(latest, SLOTS), *range(latest), *range(SLOTS, 2 * SLOTS)]
                positions = self.view[1::WORDS].tolist()
                found = [slot for slot in order if positions[slot]]
                texts = [self._told(slot) for slot in found]
                for slot in found:
                    self.view[1 + slot * WORDS] = 0
                return texts
            except BaseException:  # an interrupt: nothing is lost
                for slot in found:
                    self.view[1 + slot * WORDS] = positions[slot]
                self.view[0] = 1
                raise

    def _told(self, slot: int) -> str:
        """What is to be said of a slot."""
        at = 1 + slot * WORDS
        position, index, rows = self.view[at] - 1, self.view[at + 1], self.view[at + 2]
        launch = self.launches[slot]
        assert launch is not None
        shape, its_rows, address = launch
        where = f"found on {self.device} by an earlier lookup, whose row was zeros"
        if its_rows != rows or position >= shape.numel():  # another launch has got the slot since
            return f"{checks.out_of_range(index, [position], None, rows)}; {where}"
        place: list[int] = []
        for size in reversed(shape):
            place.insert(0, position % size)
            position //= size
        return f"{checks.out_of_range(index, place, shape, rows, name_at(address, rows))}; {where}"


memories: dict[int, Memory] = {}  # by the device's index; -1 is the CPU, whose kernels are interpreted
_inherited: list[Memory] = []
_making = threading.RLock()  # a handler of signals may look up, too


def memory_of(tensor: Tensor) -> Memory | None:
    """The slots of the tensor's device, made at the first question; None where no kernels run."""
    if not kernels.drives(tensor.device.type):
        return None
    with _making:
        return memories.setdefault(tensor.get_device(), memories.get(tensor.get_device()) or Memory(tensor.device))


def _after_fork() -> None:
    """A child has launched nothing. Its parent's memory is not its own to free."""
    global _making
    _inherited.extend(memories.values())
    memories.clear()
    _making = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

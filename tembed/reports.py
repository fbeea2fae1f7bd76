"""Bad indices: looked for at the call, or reported by kernels in pinned memory and raised by a later call.

Each launch has a slot of that memory, and the host remembers for each slot what was looked up. Slots go round: by the
time that one is used again its launch has long ended, for a device queues fewer launches than there are slots. A
launch that is captured in a CUDA graph has a slot among those of captured ones. One flag says whether any slot has
something to report: it is all that a call looks at, and it waits for nothing.
"""

import atexit
import ctypes
import os
import sys
import threading
from itertools import count

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from . import checks, kernels, modes
from .kernels import WORDS, Report
from .names import name_at

SLOTS = 4096  # of launches, and as many of captured ones
MOST = 16  # reports that one error tells of, each in a line
KINDS = 1024  # of launches, that are remembered once for all their slots: memory that stays in the processor's caches


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
            self.view[0] = 0  # before waiting: whatever is reported from here on raises the flag again
            try:
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
            except BaseException:  # an interrupt: nothing is lost
                self.view[0] = 1
                raise
            return texts

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
            position, at = divmod(position, size)
            place.insert(0, at)
        return f"{checks.out_of_range(index, place, shape, rows, name_at(address, rows))}; {where}"


_memories: dict[int, Memory] = {}
_inherited: list[Memory] = []
_making = threading.Lock()


def _memory_of(tensor: Tensor) -> Memory | None:
    """The slots of the tensor's device, made at the first question; None where no kernels run."""
    if not kernels.drives(tensor.device.type):
        return None
    with _making:
        return _memories.setdefault(tensor.get_device(), _memories.get(tensor.get_device()) or Memory(tensor.device))


def check(indices: Tensor, rows: int, weight: Tensor | None = None) -> Report | None:
    """Sees to bad indices of a lookup in a table of so many rows, `weight` or a part of it, as the mode has it.

    "immediate", and on the CPU: raises IndexError for the first one. "deferred": raises it for what earlier lookups on
    the device have reported, and returns where the launch is to report. In a launch that becomes part of a CUDA graph
    nothing can be raised, so that it reports in both modes, by the kernel that has run before. "off": None.
    """
    device = indices.get_device()
    if device < 0 and modes.CPU_RAISES:
        _raise_now(indices, rows, weight)
        return None
    memory = _memories.get(device) or _memory_of(indices)  # in every mode: a capture is no time to allocate it
    mode = modes._here.get() or modes._default  # modes.mode(), without a call
    if mode == "off":
        return None
    captured = memory is not None and memory.capturing()
    if not captured and (memory is None or mode == "immediate"):
        _raise_now(indices, rows, weight)
    if memory is None:
        return None
    if memory.view[0] and not captured and mode == "deferred":
        _raise(memory.collect())
    try:
        address = 0 if weight is None else weight.data_ptr()
    except RuntimeError:  # of tensors that a tracer has made up
        address = 0
    kinds, launch = memory.kinds, (indices.shape, rows, address)
    if len(kinds) > KINDS:
        kinds.clear()
    slot = SLOTS + memory.next_captured() % SLOTS if captured else memory.next() % SLOTS
    memory.launches[slot] = kinds.setdefault(launch, launch)
    return memory.words, slot, rows


def _raise_now(indices: Tensor, rows: int, weight: Tensor | None) -> None:
    error = checks.first_bad(indices, rows, weight)
    if error is not None:
        raise error


def raise_reported(tensor: Tensor) -> None:
    """Raises IndexError for what launches on the tensor's device have reported, unless "off". Waits for none."""
    memory = _memories.get(tensor.get_device())
    if memory is not None and memory.view[0] and not memory.capturing() and modes.mode() != "off":
        _raise(memory.collect())


def check_indices() -> None:
    """Waits for all devices, and raises IndexError if a lookup there had a bad index that was not raised yet.

    For the ends of epochs, before a checkpoint, after replaying CUDA graphs: whenever an error is to be raised now
    instead of by the next lookup. On the CPU, where bad indices raise at the call, there is nothing to wait for.

    Raises:
        IndexError: for each lookup the first bad index, its position in the input, the number of rows, and the
            module's name if it has one (`replace_embeddings`, `name_embeddings`). Each is raised once.
    """
    texts: list[str] = []
    try:
        for memory in [*_memories.values()]:
            if not memory.capturing():
                texts += memory.collect()
    except BaseException:  # of another device, or an interrupt: nothing is lost
        _print(texts)
        raise
    _raise(texts)


def _raise(texts: list[str]) -> None:
    if texts:
        raise IndexError("\n".join(_lines(texts)))


def _lines(texts: list[str]) -> list[str]:
    return texts if len(texts) <= MOST else [*texts[:MOST], f"and by {len(texts) - MOST} lookups more"]


def _print(texts: list[str]) -> None:
    if texts:
        print(*_lines(texts), sep="\n", file=sys.stderr)


def _tell_at_exit() -> None:
    """Prints what nobody has asked for, if it has arrived: a device may never end, and is not waited for."""
    for memory in _memories.values():
        if memory.view[0]:
            _print(memory.collect(wait=False))


def _after_fork() -> None:
    """A child has launched nothing. Its parent's memory is not its own to free."""
    global _making
    _inherited.extend(_memories.values())
    _memories.clear()
    _making = threading.Lock()


atexit.register(_tell_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

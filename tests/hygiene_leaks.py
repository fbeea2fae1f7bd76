"""What is left behind by calls: tensors, objects of Python's, blocks of malloc, pages of the operating system."""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

STEPS, WARM_UP = 10_000, 1_000
WINDOWS = 3  # the allocator's own comings and goings end, a leak does not
# What comes and goes by itself: objects that Python and Triton keep for next time, and their memory.
FEW_OBJECTS, FEW_BYTES = 100, 1 << 15
# A step that leaves anything behind leaves at least the smallest block that malloc hands out, and every step does.
LEAST_BYTES = 32
KINDS = ("tensor", "object", "malloc", "resident")
STATM = Path("/proc/self/statm")


def tensors() -> int:
    return sum(issubclass(type(x), torch.Tensor) for x in gc.get_objects())


def resident_bytes() -> int:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if STATM.exists() else 0


class _Info(ctypes.Structure):
    """What glibc's malloc says of itself."""

    _fields_ = [(f"field_{k}", ctypes.c_size_t) for k in range(10)]  # noqa: RUF012


def allocated_bytes() -> int:
    """What malloc has handed out and not got back; 0 where it does not say."""
    C = ctypes.CDLL(None)
    if not hasattr(C, "mallinfo2"):
        return 0
    C.mallinfo2.restype = _Info
    info = C.mallinfo2()
    return int(info.field_4 + info.field_7)  # in memory that was mapped for one block, and elsewhere


def left_behind(run: Callable[[int], None], steps: int) -> tuple[int, ...]:
    """What so many steps add of each of KINDS."""
    found = []
    for count in (0, steps):
        run(count)
        gc.collect()
        found.append((tensors(), sys.getallocatedblocks(), allocated_bytes(), resident_bytes()))
    return tuple(after - before for before, after in zip(*found, strict=True))


def leaks(run: Callable[[int], None], steps: int, warm_up: int) -> set[str]:
    """The kinds of what so many steps leave behind, each time that they are run."""
    run(warm_up)
    found = {*KINDS}
    for _ in range(WINDOWS):
        if not found:
            break
        in_bytes = max(FEW_BYTES, steps * LEAST_BYTES)
        # the operating system counts pages
        limits = 1, max(FEW_OBJECTS, steps // 2), in_bytes, in_bytes if steps >= STEPS else sys.maxsize
        added = left_behind(run, steps)
        found &= {kind for kind, more, limit in zip(KINDS, added, limits, strict=True) if more >= limit}
    return found

"""Bad indices: looked for at the call, or reported by kernels in memory of the host and raised by a later call."""

import atexit
import sys

from torch import Tensor

from . import checks, modes
from .kernels import Report
from .slots import SLOTS, memories, memory_of

MOST = 16  # reports that one error tells of, each in a line
KINDS = 1024  # of launches, that are remembered once for all their slots: memory that stays in the processor's caches


def check(indices: Tensor, rows: int, weight: Tensor | None = None) -> Report | None:
    """Sees to bad indices of a lookup in a table of so many rows, `weight` or a part of it, as the mode has it.

    Raises IndexError for what earlier lookups on the device have reported, and waits for the device only then.
    "immediate", and on the CPU: also for the first bad one of these. "deferred": returns where the launch is to report.
    In a launch that becomes part of a CUDA graph nothing can be raised: it reports in both modes, and its kernel has to
    be compiled before. "off": None.
    """
    device = indices.get_device()
    if device < 0 and modes.CPU_RAISES:
        _raise_now(indices, rows, weight)
        return None
    memory = memories.get(device) or memory_of(indices)  # in every mode: a capture is no time to allocate it
    mode = modes._here.get() or modes._default  # modes.mode(), without a call
    if mode == "off":
        return None
    if memory is None:
        _raise_now(indices, rows, weight)
        return None
    captured = memory.capturing()
    if not captured:
        if memory.view[0]:
            _raise(memory.collect())
        if mode == "immediate":
            _raise_now(indices, rows, weight)
    try:  # names.address_of(), without a call
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
    """Raises IndexError for what launches on the tensor's device have reported, unless "off".

    Waits for the device only if they have.
    """
    memory = memories.get(tensor.get_device())
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
        for memory in [*memories.values()]:
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
    for memory in memories.values():
        # a thread that waits for the device may have the lock
        if memory.view[0] and memory.lock.acquire(blocking=False):
            try:
                _print(memory.collect(wait=False))
            finally:
                memory.lock.release()


atexit.register(_tell_at_exit)

"""What every launcher needs: the device to launch on, the type to accumulate in, and launches that cost little."""

import os
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import triton.language as tl
from triton.compiler import CompiledKernel
from triton.runtime import jit
from triton.runtime.jit import JITFunction

from . import interpreted
from .tiles import MOST_REGISTERS, MOST_SHARED_REGISTERS

# The interpreter patches Triton's language while it runs, for the whole process: one launch at a time.
INTERPRETER = threading.RLock()
if interpreted():
    from .interpreter import mend

    mend()
    if hasattr(os, "register_at_fork"):  # or a child inherits it from a thread that it does not have
        release = INTERPRETER.release
        os.register_at_fork(before=INTERPRETER.acquire, after_in_parent=release, after_in_child=release)
ON_AMD = torch.version.hip is not None
# Threads that run in step: wavefronts of 64 on AMD's data-center chips, warps of 32 elsewhere.
LANES = 64 if ON_AMD else 32
# Sizes and strides from here on make other kernels: their arguments have 64 bits.
TOO_LARGE = 1 << 31
# Pointers to other than whole 16 bytes make other kernels too.
ALIGNMENT = 16

# Given a limit, if only the hardware's own, NVIDIA's assembler spills nothing to have one program more at a time.
NVIDIA = torch.version.cuda is not None and not interpreted()
REGISTERS = {"maxnreg": MOST_REGISTERS} if NVIDIA else {}
SHARED_REGISTERS = {"maxnreg": MOST_SHARED_REGISTERS} if NVIDIA else {}

HERE: AbstractContextManager[Any] = nullcontext()
TRITONS_OWN = jit.__file__


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[Any]:
    """Makes the tensor's device current: Triton launches on the current one."""
    index = tensor.get_device()
    if index < 0:
        return INTERPRETER
    if index == torch.accelerator.current_device_index():
        return HERE
    return torch.get_device_module(tensor.device.type).device(index)


def folded(indices: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Indices that lie one stride apart, and that stride; a copy where theirs do not fold."""
    if indices.is_contiguous():
        return indices, 1
    indices = indices.reshape(-1)
    return indices, indices.stride(0)


def accumulator(dtype: torch.dtype) -> tuple[torch.dtype, tl.dtype]:
    """The type that sums and norms of `dtype` are taken in, as torch and as Triton name it."""
    return (torch.float64, tl.float64) if dtype == torch.float64 else (torch.float32, tl.float32)


def key_of(D: int, weight: torch.Tensor, indices: torch.Tensor, *written: torch.Tensor) -> tuple[Any, ...] | None:
    """All that Triton would specialize a lookup's kernel for, where sizes have 32 bits and all is contiguous.

    None where what is written is not aligned as fresh memory is; on AMD, where a kernel depends on the size of buffers
    besides; and while a method in place of Triton's own watches launches, which a kept kernel would go past. Triton's
    settings for debugging and for inspecting compilation act on kernels that are compiled after them.
    """
    if ON_AMD or JITFunction.run.__code__.co_filename != TRITONS_OWN:
        return None
    for tensor in written:
        if tensor.data_ptr() % ALIGNMENT:
            return None
    return D, weight.dtype, indices.dtype, weight.data_ptr() % ALIGNMENT == 0, weight.get_device()


class Launch:
    """Launches one kernel, and keeps what Triton compiled for it by a key.

    Triton binds, inspects and specializes every argument of every launch, which takes the host longer than the launch
    itself. A launcher that can tell by a few facts which of the compiled kernels its arguments lead to gives these as
    the key, and the kernel kept for them is called by its own launch method.
    """

    MOST = 1024  # kernels kept; more than a program has kinds of tables

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._kept: dict[tuple[Any, ...], tuple[CompiledKernel, int, Any]] = {}

    def __call__(self, key: tuple[Any, ...] | None, grid: int, num_warps: int, *args: Any, **options: int) -> None:
        """Launches `grid` programs; args are all arguments of the kernel in their order, constants included.

        options: the compiler's, which are equal for equal keys.
        """
        if key is None or self.kernel.pre_run_hooks:
            self.kernel[grid, 1, 1](*args, num_warps=num_warps, **options)
            return
        kept = self._kept.get(key)
        if kept is not None:
            compiled, last, launch = kept
            if last != grid:
                launch = compiled[grid, 1, 1]
                self._kept[key] = compiled, grid, launch
            launch(*args)
            return
        compiled = self.kernel[grid, 1, 1](*args, num_warps=num_warps, **options)
        if isinstance(compiled, CompiledKernel):  # the interpreter has none
            if len(self._kept) >= self.MOST:
                self._kept.clear()
            self._kept[key] = compiled, grid, compiled[grid, 1, 1]

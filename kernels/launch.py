"""What every launcher needs: the device to launch on, and the type to accumulate in."""

import threading
from contextlib import AbstractContextManager
from typing import Any

import torch
import triton.language as tl

# The interpreter patches Triton's language while it runs, for the whole process: one launch at a time.
INTERPRETER = threading.RLock()
# Threads that run in step: wavefronts of 64 on AMD's data-center chips, warps of 32 elsewhere.
LANES = 64 if torch.version.hip else 32


def on_device_of(tensor: torch.Tensor) -> AbstractContextManager[Any]:
    """Makes the tensor's device current: Triton launches on the current one."""
    if tensor.device.type == "cpu":
        return INTERPRETER
    return torch.get_device_module(tensor.device.type).device(tensor.device)


def accumulator(dtype: torch.dtype) -> tuple[torch.dtype, tl.dtype]:
    """The type that sums and norms of `dtype` are taken in, as torch and as Triton name it."""
    return (torch.float64, tl.float64) if dtype == torch.float64 else (torch.float32, tl.float32)

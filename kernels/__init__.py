"""Triton kernels of tembed and their launchers: tensors in, tensors out, no gradients.

Importing this package is cheap and works without Triton; the modules that hold kernels import it.
Launchers fill outputs that their caller allocated. Glossary: V rows of the table, D columns,
N lookups, U unique rows among them; a run is a stretch of equal sorted indices, a chunk a fixed
stretch of sorted positions.
"""

import importlib.util
import os
from functools import cache

import torch

ACCELERATORS = ("cuda", "xpu")  # ROCm devices are "cuda" to torch
OLDEST_CUDA = (8, 0)  # compute capability, of the oldest chips that Triton compiles for

# Where a launch reports a bad index: memory, int64, on the device or in the host's pinned memory, that is a flag, which
# becomes 1, then slots; which slot is the launch's; the rows of the table, of all of it when the launch is for a part.
# A plain tuple, for one is made for every launch.
Report = tuple[torch.Tensor, int, int]
# Of a slot: the position of the bad lookup plus 1, its index, the table's rows. All are 0 until there is something.
WORDS = 3


@cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def version() -> str:
    """Which Triton is installed, in words."""
    if not installed():
        return "no triton"
    import triton

    return f"triton {triton.__version__}"


@cache
def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter in this process (fixed at the first question)."""
    value = os.environ.get("TRITON_INTERPRET", "0").lower()
    return value in ("1", "true", "on", "yes", "y") and installed()


@cache
def drives(device_type: str) -> bool:
    """Whether the kernels run on tensors of this device type: accelerators, or the CPU when interpreted."""
    if device_type == "cpu":
        return interpreted()
    return device_type in ACCELERATORS and installed() and not (device_type == "cuda" and _too_old())


def _too_old() -> bool:
    """Whether one of the CUDA devices is older than Triton can compile for."""
    if torch.version.hip or not torch.cuda.is_available():
        return False
    return any(torch.cuda.get_device_capability(i) < OLDEST_CUDA for i in range(torch.cuda.device_count()))

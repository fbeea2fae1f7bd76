"""Triton kernels of tembed and their launchers: tensors in, tensors out, no gradients.

Importing this package is cheap and works without Triton; the modules that hold kernels import it.
Launchers fill outputs that their caller allocated. Glossary: V rows of the table, D columns,
N lookups, U unique rows among them; a run is a stretch of equal sorted indices, a chunk a fixed
stretch of sorted positions.
"""

import importlib.metadata
import importlib.util
import os
from functools import cache

ACCELERATORS = ("cuda", "xpu")  # ROCm devices are "cuda" to torch


@cache
def installed() -> bool:
    """Whether Triton can be imported."""
    return importlib.util.find_spec("triton") is not None


def version() -> str:
    """Which Triton is installed, in words."""
    return f"triton {importlib.metadata.version('triton')}" if installed() else "no triton"


@cache
def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter in this process (fixed at the first question)."""
    value = os.environ.get("TRITON_INTERPRET", "0").lower()
    return value in ("1", "true", "on", "yes", "y") and installed()


@cache
def drives(device_type: str) -> bool:
    """Whether the kernels run on tensors of this device type: accelerators, or the CPU when interpreted."""
    return installed() if device_type in ACCELERATORS else device_type == "cpu" and interpreted()

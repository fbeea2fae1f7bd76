"""Triton's interpreter, mended where a version of it does not run under a numpy that it may find."""

from typing import Any

import triton
from triton.runtime import interpreter

MENDED = (3, 7)  # versions from here on need nothing


def mend() -> None:
    """Has range() in a kernel take a bound of the launch: an array of one number, none to numpy from 2.4 on."""
    if tuple(map(int, triton.__version__.split(".")[:2])) >= MENDED:
        return
    patch = interpreter._patch_lang_tensor

    def patched(tensor: Any, *scope: Any) -> None:
        patch(tensor, *scope)  # what it sets, it takes back after the launch
        tensor.__index__ = lambda self: int(self.handle.data.item())

    interpreter._patch_lang_tensor = patched

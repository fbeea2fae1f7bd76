"""Corrections to Triton's interpreter, so that a CPU shows what a GPU would compute."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt


def to_bfloat16(x: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """The bits of float32 numbers rounded to bfloat16, to nearest, ties to even; every NaN becomes 0x7fff."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    rounded = ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), rounded).reshape(np.shape(x))


@contextmanager
def nearest_bfloat16() -> Iterator[None]:
    """Within it, casts to bfloat16 in the interpreter round to nearest even, as hardware does; alone, it truncates."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    original: dict[str, Callable[..., Any]] = {
        name: getattr(InterpreterBuilder, name) for name in ("cast_impl", "create_fp_to_fp")
    }

    def rounded(source: Any) -> Any:
        return TensorHandle(to_bfloat16(np.asarray(source.data).astype(np.float32)), tl.bfloat16)

    def wanted(source: Any, dtype: Any) -> bool:
        return dtype.scalar == tl.bfloat16 and source.dtype.scalar in (tl.float64, tl.float32, tl.float16)

    def cast_impl(self: Any, source: Any, dtype: Any) -> Any:
        return rounded(source) if wanted(source, dtype) else original["cast_impl"](self, source, dtype)

    def create_fp_to_fp(self: Any, source: Any, dtype: Any, mode: Any) -> Any:
        return rounded(source) if wanted(source, dtype) else original["create_fp_to_fp"](self, source, dtype, mode)

    InterpreterBuilder.cast_impl = cast_impl
    InterpreterBuilder.create_fp_to_fp = create_fp_to_fp
    try:
        yield
    finally:
        for name, method in original.items():
            setattr(InterpreterBuilder, name, method)

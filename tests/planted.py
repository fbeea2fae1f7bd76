"""Kernels that are wrong on purpose, for more than one instrument to find."""

import triton
import triton.language as tl


@triton.jit
def renorm_in_place_kernel(weight_ptr, indices_ptr, D: tl.constexpr):
    """max_norm in one launch: wrong, lookups of one row read what others write."""
    row = tl.load(indices_ptr + tl.program_id(0))
    d = tl.arange(0, D)
    x = tl.load(weight_ptr + row * D + d)
    norm = tl.sqrt(tl.sum(x * x, axis=0))
    tl.store(weight_ptr + row * D + d, tl.where(norm > 1, x / norm, x))

"""Triton's interpreter runs our kernels under a numpy that does not take an array of one number for a number."""

import warnings
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from tembed import kernels

pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="is about the interpreter")


@triton.jit
def count_kernel(out_ptr, N):
    for n in range(0, N):
        tl.store(out_ptr + n, n)


def test_a_loop_has_a_bound_of_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    from triton.runtime import interpreter

    from tembed.kernels.interpreter import mend

    patch = interpreter._patch_lang_tensor

    def as_before_version_3_7(tensor: Any, *scope: Any) -> None:
        patch(tensor, *scope)
        tensor.__index__ = lambda self: int(self.handle.data)

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", as_before_version_3_7)
    monkeypatch.setattr(triton, "__version__", "3.6.0")
    out = torch.zeros(5, dtype=torch.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # what numpy says before 2.4, where it raises
        with pytest.raises(Exception, match=r"[Cc]onver.* to a? ?(Python )?scalar"):
            count_kernel[(1,)](out, 5)
        mend()
        count_kernel[(1,)](out, 5)
    assert out.tolist() == [0, 1, 2, 3, 4]

"""Memory that nobody wrote, and lanes that nobody loaded, hold what shows: NaN and the largest integers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic

from tembed.kernels import interpreted

from .hook import observed
from .observer import Access, Launch, Observer


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Within it, what torch allocates and does not fill holds NaN, or the largest integer.

    By way of torch's deterministic algorithms, which warn, and do not raise, where there are none.
    """
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    # a property of the module, which its type does not know
    deterministic: Any = torch.utils.deterministic
    fill = deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    deterministic.fill_uninitialized_memory = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
        deterministic.fill_uninitialized_memory = fill


class _PoisonedLanes(Observer):
    def access(self, launch: Launch, access: Access, proceed: Callable[[Access], Any]) -> Any:
        unstated = access.kind == "load" and access["other"] is None and access.active.size > 1
        if unstated and not access.active.all():
            access = access.having(other=_all_ones(access["pointers"]))
        return proceed(access)


def _all_ones(pointers: Any) -> Any:
    """A handle of values whose every bit is set."""
    from triton.runtime.interpreter import TensorHandle, _get_np_dtype

    element = pointers.get_element_ty()
    dtype = np.dtype(_get_np_dtype(element))
    if dtype == np.bool_:
        return TensorHandle(np.ones(pointers.data.shape, bool), element)
    return TensorHandle(np.full(pointers.data.shape, -1, f"i{dtype.itemsize}").view(dtype), element)


def poisoned_lanes() -> AbstractContextManager[object]:
    """Within it, lanes that a load masks off without `other` hold NaN, or an odd integer; alone, zero.

    A load of one element is left alone: the interpreter drops an `other` of one zero on the way here.
    """
    return observed(_PoisonedLanes())


@contextmanager
def poisoned() -> Iterator[None]:
    """poisoned_memory, and poisoned_lanes where kernels are interpreted."""
    with poisoned_memory():
        if not interpreted():
            yield
            return
        with poisoned_lanes():
            yield

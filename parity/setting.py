"""What cases run in: fresh memory that shows who did not write it, an interpreter that computes as hardware does."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np

from tembed import kernels

from .instruments import stacked
from .instruments.poison import poisoned_lanes, poisoned_memory
from .interpreter import nearest_bfloat16


@contextmanager
def hardware() -> Iterator[None]:
    """In Triton's interpreter: bfloat16 rounds to nearest, masked-off lanes hold NaN, overflow is silent."""
    if not kernels.interpreted():
        yield
        return
    # numpy speaks of overflow and of log2(0), a GPU does not
    with nearest_bfloat16(), poisoned_lanes(), np.errstate(all="ignore"):
        yield


@contextmanager
def setting(under: Sequence[str] = ()) -> Iterator[None]:
    """Everything that a case is judged in, and the instruments named `under`."""
    with ExitStack() as stack:
        stack.enter_context(hardware())
        stack.enter_context(poisoned_memory())
        stack.enter_context(stacked(under))
        yield

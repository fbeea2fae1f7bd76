"""What is done with a lookup and timed: the forward pass, of a table that requires grad."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from .gate import check_forward
from .inputs import Inputs
from .providers import Lookup
from .timing import Run
from .workloads import Workload


@dataclass(frozen=True)
class Operation:
    """What is done with a lookup, and timed.

    Args:
        prepare: what is to be run, given a lookup, the inputs and which of their indices.
        check: runs that and raises if anything is wrong with what comes out.
        bytes: the least that it moves, given how many different rows are looked up.
    """

    name: str
    prepare: Callable[[Lookup, Inputs, Tensor], Run]
    check: Callable[[Run, Inputs, Tensor], None]
    bytes: Callable[[Workload, int], int]


def _forward_bytes(workload: Workload, unique: int) -> int:
    """Indices, each row that is looked up once, the output; rows over max_norm once more, written back."""
    written = unique * workload.D * workload.itemsize if workload.over == "all" else 0
    return workload.bytes(unique) + written


FORWARD = Operation(
    name="forward",
    prepare=lambda lookup, inputs, indices: partial(lookup, inputs.weight, indices),
    check=check_forward,
    bytes=_forward_bytes,
)

"""What is done with a lookup and timed, as data; and the forward pass, of a table that requires grad."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from .gate import check_forward
from .inputs import Inputs, bytes_needed
from .providers import Lookup
from .timing import Run
from .workloads import Workload


def _nothing_more(inputs: Inputs) -> Inputs:
    return inputs


def _every(workload: Workload) -> str:
    return ""


@dataclass(frozen=True)
class Operation:
    """What is done with a lookup, and timed.

    Args:
        prepare: what is to be run, given a lookup, the inputs and which of their indices.
        check: runs that, raises if anything is wrong with what comes out, and says by what it judged; the last argument
            tells whether sums may be off by what stock's may.
        bytes: the least that it moves, given how many different rows are looked up.
        extend: what it needs beside a lookup's inputs.
        needs: about the memory that it takes, given how many providers there are.
        skips: why it is not timed for a workload; nothing if it is.
        gradient_bytes: what the gradient that it makes takes, given how many different rows are looked up.
        backward: whether it has one.
        sparse: whether that gives a sparse gradient, for which the host waits: no graph holds it.
    """

    name: str
    prepare: Callable[[Lookup, Inputs, Tensor], Run]
    check: Callable[[Run, Inputs, Tensor, bool], str]
    bytes: Callable[[Workload, int], int]
    extend: Callable[[Inputs], Inputs] = _nothing_more
    needs: Callable[[Workload, int], int] = bytes_needed
    skips: Callable[[Workload], str] = _every
    gradient_bytes: Callable[[Workload, int], int] | None = None
    backward: bool = False
    sparse: bool = False


def forward_bytes(workload: Workload, unique: int) -> int:
    """Indices, each row that is looked up once, the output; rows over max_norm once more, written back."""
    written = unique * workload.D * workload.itemsize if workload.over == "all" else 0
    return workload.bytes(unique) + written


FORWARD = Operation(
    name="forward",
    prepare=lambda lookup, inputs, indices: partial(lookup, inputs.weight, indices),
    check=check_forward,
    bytes=forward_bytes,
)

"""Backwards that are timed: the table's gradient, dense and sparse, alone; and the dense one with its forward."""

import torch
from torch import Tensor

from .forward import Operation, forward_bytes
from .gradient_gate import check_dense, check_sparse
from .inputs import Inputs, bytes_needed, with_gradients
from .providers import Lookup
from .timing import Run
from .workloads import Workload

INDEX_BYTES = 8


def _table_bytes(workload: Workload, rows: int) -> int:
    return rows * workload.D * workload.itemsize


def dense_bytes(workload: Workload, unique: int) -> int:
    """Each row of the output's gradient, and each of the table's."""
    return workload.output_bytes + _table_bytes(workload, workload.V)


def sparse_bytes(workload: Workload, unique: int) -> int:
    """Each row of the output's gradient, and each that was looked up of the table's."""
    return workload.output_bytes + _table_bytes(workload, unique)


def _both_bytes(workload: Workload, unique: int) -> int:
    return forward_bytes(workload, unique) + dense_bytes(workload, unique)


def dense_gradient_bytes(workload: Workload, unique: int) -> int:
    """What it takes."""
    return _table_bytes(workload, workload.V)


def sparse_gradient_bytes(workload: Workload, unique: int) -> int:
    """What it takes, coalesced: its rows and their indices."""
    return _table_bytes(workload, unique) + unique * INDEX_BYTES


def _dense_needs(workload: Workload, lookups: int) -> int:
    """Each keeps a gradient and temporaries as large as the output; compiled, of 16 bits, sums in float32 besides."""
    table = dense_gradient_bytes(workload, 0)
    kept = (lookups + 3) * table * (1 if workload.itemsize > 2 else 2)
    return bytes_needed(workload, lookups) + kept + (2 * lookups + 2) * workload.output_bytes


def sparse_needs(workload: Workload, lookups: int) -> int:
    """No graph holds these: one gradient at a time, and what a sort and a sum of it need."""
    return bytes_needed(workload, lookups) + 12 * workload.output_bytes


def _no_norms(workload: Workload) -> str:
    return "" if workload.max_norm is None else "max_norm has no part in a backward: the same as without"


def _alone(lookup: Lookup, inputs: Inputs, indices: Tensor) -> Run:
    """The backward of a lookup that was made before."""
    weight, grad_output = inputs.weight, inputs.grad_of(indices)
    out = lookup(weight, indices)

    def run() -> Tensor:
        (grad,) = torch.autograd.grad(out, weight, grad_output, retain_graph=True)
        return grad

    return run


def _coalesced(lookup: Lookup, inputs: Inputs, indices: Tensor) -> Run:
    """The same, and coalesce(), without which no optimizer but SGD can use it; it leaves alone what is coalesced."""
    alone = _alone(lookup, inputs, indices)

    def run() -> Tensor:
        return alone().coalesce()

    return run


def _both(lookup: Lookup, inputs: Inputs, indices: Tensor) -> Run:
    weight, grad_output = inputs.weight, inputs.grad_of(indices)

    def run() -> Tensor:
        (grad,) = torch.autograd.grad(lookup(weight, indices), weight, grad_output)
        return grad

    return run


BACKWARD = Operation(
    name="backward",
    prepare=_alone,
    check=check_dense,
    bytes=dense_bytes,
    extend=with_gradients,
    needs=_dense_needs,
    skips=_no_norms,
    gradient_bytes=dense_gradient_bytes,
    backward=True,
)
SPARSE_BACKWARD = Operation(
    name="sparse backward",
    prepare=_coalesced,
    check=check_sparse,
    bytes=sparse_bytes,
    extend=with_gradients,
    needs=sparse_needs,
    skips=_no_norms,
    gradient_bytes=sparse_gradient_bytes,
    backward=True,
    sparse=True,
)
BOTH = Operation(
    name="forward+backward",
    prepare=_both,
    check=check_dense,
    bytes=_both_bytes,
    extend=with_gradients,
    needs=_dense_needs,
    gradient_bytes=dense_gradient_bytes,
    backward=True,
)

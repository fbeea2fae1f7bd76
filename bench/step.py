"""A step of training, timed: lookup with sparse=True, backward, and an optimizer of torch's that takes its gradient.

Table and state are as they were before every sample: the rows that are looked up are put back, outside of what is
timed. All providers share one table, one optimizer and its state.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim import SGD, Adagrad, Optimizer, SparseAdam

from .backward import sparse_bytes, sparse_needs
from .forward import Operation, forward_bytes
from .inputs import Inputs, with_gradients
from .providers import Lookup
from .timing import Run
from .workloads import Workload

RATE = 1.0  # so large that a wrong step shows in 16 bits

Make = Callable[[list[Tensor]], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "SGD": partial(SGD, lr=RATE),
    "SparseAdam": partial(SparseAdam, lr=RATE),
    "Adagrad": partial(Adagrad, lr=RATE),
}
# Tables of state, each of which a step reads and writes where rows were looked up.
STATES = {"SGD": 0, "SparseAdam": 2, "Adagrad": 1}


@dataclass(frozen=True, eq=False)
class StepInputs(Inputs):
    """The inputs of a step: an optimizer of the table, its state random numbers."""

    make: Make = OPTIMIZERS["SGD"]
    optimizer: Any = None
    rows: Any = None  # all that are looked up, ascending
    kept: Any = None  # of the table and each table of state, by name, those rows
    counts: Any = None  # the rest of the state

    @property
    def state(self) -> dict[str, Any]:
        """The optimizer's, of the table."""
        found: dict[str, Any] = self.optimizer.state[self.weight]
        return found

    def tables(self) -> dict[str, Tensor]:
        """The tables of the state."""
        return {name: x for name, x in self.state.items() if torch.is_tensor(x) and x.shape == self.weight.shape}

    def restore(self) -> None:
        """Undoes what a step did to rows that are looked up."""
        self.weight.grad = None
        for name, table in {"": self.weight.detach(), **self.tables()}.items():
            table.index_copy_(0, self.rows, self.kept[name])
        for name, value in self.counts.items():
            if torch.is_tensor(value):
                self.state[name].copy_(value)
            else:
                self.state[name] = value


def make_step_inputs(make: Make, inputs: Inputs) -> StepInputs:
    """A lookup's inputs, and what steps need besides."""
    its = with_gradients(inputs)
    weight, optimizer = its.weight, make([its.weight])
    # a first step, of a gradient of zero, makes all state that there is to be
    zero = torch.zeros(1, weight.shape[1], dtype=weight.dtype, device=weight.device)
    where = torch.zeros(1, 1, dtype=torch.int64, device=weight.device)
    weight.grad = torch.sparse_coo_tensor(where, zero, weight.shape, is_coalesced=True, check_invariants=False)
    optimizer.step()
    rows = torch.cat([its.indices.reshape(-1), its.fresh.reshape(-1)]).unique()
    shared = {field.name: getattr(its, field.name) for field in fields(Inputs)}
    found = StepInputs(**shared, make=make, optimizer=optimizer, rows=rows, kept={}, counts={})
    generator = Generator(weight.device).manual_seed(2)
    for table in found.tables().values():
        table.uniform_(0.5, 1.5, generator=generator)
    found.kept.update({name: x[rows] for name, x in {"": weight.detach(), **found.tables()}.items()})
    counts = {name: value for name, value in found.state.items() if name not in found.tables()}
    found.counts.update({name: x.clone() if torch.is_tensor(x) else x for name, x in counts.items()})
    return found


def _prepare(lookup: Lookup, inputs: Inputs, indices: Tensor) -> Run:
    assert isinstance(inputs, StepInputs)
    weight, grad_output, optimizer = inputs.weight, inputs.grad_of(indices), inputs.optimizer

    def run() -> Tensor:
        weight.grad = None
        lookup(weight, indices).backward(grad_output)
        optimizer.step()
        return weight

    return run


def _bytes(name: str, workload: Workload, unique: int) -> int:
    """Forward, sparse backward; the gradient read; of each row looked up table and state read and written."""
    rows = unique * workload.D * workload.itemsize
    return forward_bytes(workload, unique) + sparse_bytes(workload, unique) + (1 + 2 * (1 + STATES[name])) * rows


def _needs(name: str, workload: Workload, lookups: int) -> int:
    states = STATES[name] * workload.V * workload.D * workload.itemsize
    return sparse_needs(workload, lookups) + states + (2 + 2 * STATES[name]) * workload.output_bytes


def operation(name: str, check: Callable[..., str]) -> Operation:
    """The step of an optimizer, with what judges it."""
    return Operation(
        name=f"step:{name}",
        prepare=_prepare,
        check=check,
        bytes=partial(_bytes, name),
        extend=partial(make_step_inputs, OPTIMIZERS[name]),
        needs=partial(_needs, name),
        backward=True,
        sparse=True,
    )

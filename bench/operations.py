"""What can be run on a table and lookups in it, as data: how, the least it could move, and how much it may."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tembed import ops
from tembed.bench.indices import draw
from tembed.bench.workloads import DTYPES, Workload
from tembed.parity.instruments.traffic import Lookups

MAX_NORM = 1.0


@dataclass(frozen=True)
class Operation:
    """One operation of the library.

    Args:
        run: given the table [V, D] and the indices, returns the rows; in its kernels everything is counted.
        floor: the least bytes it could move; each row that is looked up counts once, or, if nothing is cached, as
            often as it is looked up.
        limit: how many times as much as `against` it may move.
        against: another operation, as it really moved on the same lookups; or its own floor with nothing cached.
        norm: of each row that is looked up, before.
    """

    run: Callable[[Tensor, Tensor], Tensor]
    floor: Callable[[Lookups, bool], int]
    limit: float
    against: str = "floor"
    norm: float = 1.0


def _renorm(weight: Tensor, indices: Tensor) -> Tensor:
    return ops.renorm_lookup(weight, indices, MAX_NORM, 2.0)


def _written_back(sizes: Lookups, cached: bool) -> int:
    return sizes.gather_floor(cached) + sizes.rows(sizes.U)


OPERATIONS = {
    "gather": Operation(ops.lookup, Lookups.gather_floor, 1.02),
    "max_norm, none over": Operation(_renorm, Lookups.gather_floor, 1.02, "gather", norm=0.5),
    "max_norm, all over": Operation(_renorm, _written_back, 2.0, "gather", norm=2.0),
}


def operation_of(workload: Workload) -> str:
    """The name of what a workload runs."""
    return "gather" if workload.max_norm is None else f"max_norm, {workload.over} over"


def fill(weight: Tensor, indices: Tensor, norm: float, generator: Generator) -> Tensor:
    """The table, its rows at these indices random and of this norm; the other rows are left as they are."""
    rows = indices.unique()
    numbers = torch.randn(len(rows), weight.shape[1], generator=generator)
    weight[rows] = (numbers * (norm / numbers.norm(dim=1, keepdim=True))).to(weight.dtype)
    return weight


def problem(workload: Workload, seed: int) -> tuple[Tensor, Tensor]:
    """The table and the indices of a workload, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    indices = draw(workload, generator)
    # pages of the table that nobody touches take no memory
    weight = torch.empty(workload.V, workload.D, dtype=DTYPES[workload.dtype])
    return fill(weight, indices, OPERATIONS[operation_of(workload)].norm, generator), indices

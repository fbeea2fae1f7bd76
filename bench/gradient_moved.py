"""How many bytes a gradient moves, in our kernels and in torch's operations between them, against the least.

Two kinds of bytes: of rows, which the floor is of; and of what sorts the lookups, which is reported for itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from tembed import ops
from tembed.bench.inputs import LARGEST
from tembed.bench.memory import Taken, taken_by
from tembed.bench.moved import flows_of
from tembed.bench.stand_in import regime
from tembed.bench.torch_moved import TorchMoved
from tembed.bench.workloads import DTYPES, Workload
from tembed.parity.instruments.hook import observed
from tembed.parity.instruments.traffic import Lookups, Traffic
from tembed.parity.interpreter import nearest_bfloat16

# Arguments that hold indices, keys, orders and lengths; every other is counted as rows.
SORTING = (
    "keys_ptr", "order_ptr", "ids_ptr", "indices_ptr", "starts_ptr", "unique_ptr", "begins_ptr", "rows_ptr",
    "length_ptr", "next_length_ptr",
)  # fmt: skip
# How many times the floor the rows may move: where runs are short, at most SHORT lookups a row on average and no row
# much more than others; and anywhere else, where runs are cut by the borders of chunks.
SHORT_LIMIT, LIMIT, SHORT = 1.10, 1.25, 2
EVEN = ("uniform", "sorted")


@dataclass(frozen=True)
class Gradient:
    """A gradient of the table, and the least bytes of rows that it could move."""

    sparse: bool
    floor: Callable[[Lookups], int]

    def make(self, grad_output: Tensor, indices: Tensor, V: int) -> Tensor:
        """The gradient."""
        return ops.gradient(grad_output, indices, V, -1, False, self.sparse)


GRADIENTS = {
    "dense gradient": Gradient(False, Lookups.dense_floor),
    "sparse gradient": Gradient(True, Lookups.sparse_floor),
}


@dataclass(frozen=True)
class GradientMoved:
    """What one gradient moved.

    Args:
        operation: a name of GRADIENTS.
        distribution: of the lookups.
        regime: how the kernels went about so many.
        launches: as in Moved, with whether they are of sorting; torch's own operations follow, as launches of kernel
            "torch" with their name for the argument.
        taken: the memory that it took.
    """

    operation: str
    distribution: str
    regime: str
    sizes: Lookups
    launches: list[dict[str, Any]]
    taken: Taken

    def _bytes(self, sorting: bool) -> int:
        return sum(flow["load"] + flow["store"] for flow in self.launches if flow["sorting"] == sorting)

    @property
    def rows(self) -> int:
        """Bytes of rows, of the gradients and of partial sums."""
        return self._bytes(False)

    @property
    def sorting(self) -> int:
        """Bytes of what sorts the lookups."""
        return self._bytes(True)

    @property
    def floor(self) -> int:
        """The least bytes of rows."""
        return GRADIENTS[self.operation].floor(self.sizes)

    @property
    def limit(self) -> float:
        """How many times the floor the rows may move."""
        short = self.distribution in EVEN and self.sizes.N <= SHORT * self.sizes.U
        return SHORT_LIMIT if short else LIMIT

    def data(self) -> dict[str, Any]:
        """All numbers."""
        return {
            "operation": self.operation,
            **asdict(self.sizes),
            "regime": self.regime,
            "rows": self.rows,
            "sorting": self.sorting,
            "floor": self.floor,
            "limit": self.limit,
            "to_floor": round(self.rows / self.floor, 5),
            "sorting_per_lookup": round(self.sorting / self.sizes.N, 3),
            "beyond": self.taken.beyond,
            "beyond_allowed": self.taken.allowed,
            "launches": self.launches,
        }


def faults(moved: GradientMoved) -> Iterator[str]:
    """What is wrong with it, one sentence each."""
    sizes = moved.sizes
    where = f"{moved.operation}, N={sizes.N}, U={sizes.U}, V={sizes.V}, D={sizes.D}, {sizes.itemsize} bytes each"
    says = f"{where}: {moved.rows:,} bytes of rows, {moved.rows / moved.floor:.3f} x the floor"
    if moved.rows > moved.limit * moved.floor:
        yield f"{says}, {moved.limit:g} allowed"
    if moved.rows < moved.floor:
        yield f"{says}, fewer than it takes: not all was counted, or not all done"
    yield from (f"{where}: {fault}" for fault in moved.taken.faults())


def measure(name: str, workload: Workload, indices: Tensor, seed: int = 0) -> GradientMoved:
    """Makes a gradient of random whole numbers in the interpreter.

    Raises:
        RuntimeError: it is not right, to the last bit.
    """
    V, D, flat = workload.V, workload.D, indices.reshape(-1)
    N = flat.numel()
    numbers = torch.randint(-LARGEST, LARGEST + 1, (N, D), generator=Generator().manual_seed(seed))
    grad_output = numbers.to(DTYPES[workload.dtype])
    with nearest_bfloat16(), observed(Traffic()) as traffic, TorchMoved() as torchs:
        found, taken = taken_by(lambda its: GRADIENTS[name].make(its, flat, V), grad_output)
    wanted = torch.zeros(V, D, dtype=torch.float64).index_add_(0, flat, numbers.double()).to(grad_output.dtype)
    if not torch.equal(found.to_dense(), wanted):
        raise RuntimeError(f"{name} of {workload.name}: wrong; nothing is counted")
    launches = [flow | {"sorting": flow["argument"] in SORTING} for flow in flows_of(traffic)]
    launches += (
        {"launch": None, "kernel": "torch", "argument": its["operation"], "load": its["load"], "store": its["store"],
         "sorting": its["integers"]}
        for its in torchs.operations
    )  # fmt: skip
    sizes = Lookups(N, len(flat.unique()), V, D, grad_output.element_size(), flat.element_size())
    return GradientMoved(name, workload.distribution, regime(N), sizes, launches, taken)

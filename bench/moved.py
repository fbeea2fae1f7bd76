"""How many bytes an operation moves, by launch and argument, against the least that it could."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tembed.bench.operations import OPERATIONS
from tembed.parity.instruments.hook import observed
from tembed.parity.instruments.traffic import Lookups, Traffic

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Moved:
    """What one operation moved.

    Args:
        operation: a name of OPERATIONS.
        sizes: of the table and the lookups.
        launches: for each launch and argument, in order: launch, kernel, argument, and bytes loaded and stored.
        compared: what the operation that it is measured against moved, or its floor with nothing cached.
    """

    operation: str
    sizes: Lookups
    launches: list[dict[str, Any]]
    compared: int

    @property
    def total(self) -> int:
        """Bytes, loaded and stored."""
        return sum(flow["load"] + flow["store"] for flow in self.launches)

    @property
    def floor(self) -> int:
        """The least bytes with nothing cached."""
        return OPERATIONS[self.operation].floor(self.sizes, False)

    @property
    def floor_once(self) -> int:
        """The least bytes if each row of the table moves once."""
        return OPERATIONS[self.operation].floor(self.sizes, True)

    @property
    def gather_floor(self) -> int:
        """The least bytes of a gather of the same lookups, with nothing cached."""
        return self.sizes.gather_floor(False)

    @property
    def allowed(self) -> float:
        """The most bytes that pass."""
        return OPERATIONS[self.operation].limit * self.compared

    def data(self) -> dict[str, Any]:
        """All numbers."""
        sizes = {name: getattr(self.sizes, name) for name in ("N", "U", "V", "D", "itemsize", "index_bytes")}
        ratios = {
            "to_floor": self.total / self.floor,
            "to_floor_once": self.total / self.floor_once,
            "to_gather_floor": self.total / self.gather_floor,
            "to_compared": self.total / self.compared,
        }
        return {
            "operation": self.operation,
            **sizes,
            "total": self.total,
            "floor": self.floor,
            "floor_once": self.floor_once,
            "gather_floor": self.gather_floor,
            "against": OPERATIONS[self.operation].against,
            "compared": self.compared,
            "ratios": {name: round(ratio, 5) for name, ratio in ratios.items()},
            "launches": self.launches,
        }


def faults(moved: Moved) -> Iterator[str]:
    """What is wrong with it, one sentence each."""
    operation, sizes = OPERATIONS[moved.operation], moved.sizes
    where = f"{moved.operation}, N={sizes.N}, D={sizes.D}, {sizes.itemsize} bytes each: {moved.total:,} bytes"
    if moved.total > moved.allowed:
        what = "its floor" if operation.against == "floor" else f"what {operation.against} moves"
        yield f"{where}, {moved.total / moved.compared:.3f} x {what}, {moved.allowed:,.0f} allowed"
    if moved.total < moved.floor_once:
        yield f"{where}, fewer than the {moved.floor_once:,} that it takes: not all was counted, or not all done"


def measure(name: str, weight: Tensor, indices: Tensor) -> Moved:
    """Runs an operation in the interpreter, and what it is compared with before it.

    Raises:
        RuntimeError: the rows that it returned are not the table's.
    """
    operation = OPERATIONS[name]
    V, D = weight.shape
    sizes = Lookups(indices.numel(), len(indices.unique()), V, D, weight.element_size(), indices.element_size())
    compared = operation.floor(sizes, False)
    if operation.against != "floor":
        compared = measure(operation.against, weight, indices).total
    with observed(Traffic()) as traffic:
        out = operation.run(weight, indices)
    bits = BITS[weight.element_size()]
    if not torch.equal(out.view(bits), weight.view(bits)[indices]):
        raise RuntimeError(f"{name} of {sizes}: wrong rows; nothing is counted")
    return Moved(name, sizes, flows_of(traffic), compared)


def flows_of(traffic: Traffic) -> list[dict[str, Any]]:
    """For each launch and argument, in order: launch, kernel, argument, and bytes loaded and stored."""
    found: dict[tuple[int, str, str], dict[str, int]] = defaultdict(lambda: {"load": 0, "store": 0})
    for flow in traffic.flows:
        kinds = ("load", "store") if flow.kind == "atomic" else (flow.kind,)
        for kind in kinds:
            found[flow.launch, flow.kernel, flow.argument][kind] += flow.bytes
    return [dict(zip(("launch", "kernel", "argument"), key, strict=True)) | moved for key, moved in found.items()]

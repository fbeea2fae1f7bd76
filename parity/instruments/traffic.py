"""Bytes that kernels move, by launch and pointer argument, and the least that each design could move.

What torch's own operations move between the launches, a sort or a fill with zeros, is not seen.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .memory import Addresses, cells, grain_of
from .observer import Access, Launch, Observer

SECTOR = 32


@dataclass(frozen=True)
class Flow:
    """What one launch loads from, stores to or changes atomically in one argument.

    Args:
        accesses: instructions times programs.
        bytes: of all active lanes.
        distinct: bytes that are touched at least once.
        sectors: pieces of 32 bytes that each access touches, summed: what moves if nothing is cached.
        distinct_sectors: pieces of 32 bytes that are touched at least once.
    """

    launch: int
    kernel: str
    argument: str
    kind: str
    accesses: int
    bytes: int
    distinct: int
    sectors: int
    distinct_sectors: int


class Traffic(Observer):
    """Collects `flows`, one for each launch, argument and kind of access."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self._launches = 0
        self._seen: dict[tuple[str, str], list[tuple[Addresses, int]]] = defaultdict(list)

    def launch(self, launch: Launch) -> None:  # noqa: D102
        self._seen.clear()

    def access(self, launch: Launch, access: Access, proceed: Callable[[Access], Any]) -> Any:  # noqa: D102
        addresses = access.addresses
        owners = launch.owners(addresses, access.size)
        for k in np.unique(owners):
            name = list(launch.regions)[k] if k >= 0 else ""
            self._seen[name, access.kind].append((addresses[owners == k], access.size))
        return proceed(access)

    def done(self, launch: Launch) -> None:  # noqa: D102
        for (argument, kind), seen in self._seen.items():
            grain = grain_of(seen)
            touched = [cells(addresses, size, grain) for addresses, size in seen]
            sectors = [np.unique(cell // np.uint64(SECTOR)) for cell in touched]
            flow = Flow(
                launch=self._launches,
                kernel=launch.kernel,
                argument=argument,
                kind=kind,
                accesses=len(seen),
                bytes=sum(addresses.size * size for addresses, size in seen),
                distinct=np.unique(np.concatenate(touched)).size * grain,
                sectors=sum(map(len, sectors)),
                distinct_sectors=np.unique(np.concatenate(sectors)).size,
            )
            self.flows.append(flow)
        self._launches += 1

    def total(self, what: str = "bytes", **wanted: object) -> int:
        """The sum of one number over the flows whose attributes are as wanted: kernel="…", argument="…", kind="…"."""
        chosen = (flow for flow in self.flows if all(getattr(flow, name) == value for name, value in wanted.items()))
        return sum(getattr(flow, what) for flow in chosen)


@dataclass(frozen=True)
class Lookups:
    """The sizes that traffic depends on: N lookups of U unique rows, in a table [V, D] of `itemsize` bytes."""

    N: int
    U: int
    V: int
    D: int
    itemsize: int = 4
    index_bytes: int = 8

    def rows(self, number: int) -> int:
        """Bytes of so many rows."""
        return number * self.D * self.itemsize

    def gather_floor(self, cached: bool = True) -> int:
        """Indices once, rows of the table once each (once for each lookup if nothing is cached), the output once.

        max_norm's too, when no row is over.
        """
        return self.N * self.index_bytes + self.rows(self.U if cached else self.N) + self.rows(self.N)

    def dense_floor(self) -> int:
        """Each row of the output's gradient once, and each of the table's."""
        return self.rows(self.N) + self.rows(self.V)

    def sparse_floor(self) -> int:
        """Each row of the output's gradient once, and each that was looked up of the table's."""
        return self.rows(self.N) + self.rows(self.U)

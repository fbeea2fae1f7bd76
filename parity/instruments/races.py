"""Cells of memory that programs of one launch, or lanes of one program, may touch in either order."""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .memory import Addresses, cells, grain_of
from .observer import Access, Finding, Launch, Observer, Program

KINDS = ("load", "store", "atomic")


class Race(Finding):
    """Two programs of a launch touch a cell, at least one by a plain store; or two lanes of one program do."""


class _Touched(NamedTuple):
    addresses: Addresses
    size: int
    program: int
    kind: int
    bits: Any


class Races(Observer):
    """Raises Race after a launch whose programs share a cell that one of them stores to; they need not run apart.

    A volatile load says that others may store meanwhile, and is left out. In one program it raises for lanes of a store
    that share a cell, and for a load of what the program itself stored since its last barrier: warps of a program run
    apart.

    Args:
        identical_stores: whether cells that are only stored to, with the same bits every time, are allowed.
            `identical` counts elements that several programs stored to, by kernel and argument.
    """

    def __init__(self, identical_stores: bool = False) -> None:
        self.identical_stores = identical_stores
        self.identical: Counter[tuple[str, str]] = Counter()
        self._log: list[_Touched] = []
        self._numbers: dict[Program, int] = {}
        self._fresh: dict[Program, list[Addresses]] = defaultdict(list)

    def launch(self, launch: Launch) -> None:  # noqa: D102
        self._log, self._numbers = [], {}
        self._fresh.clear()

    def barrier(self, launch: Launch) -> None:  # noqa: D102
        self._fresh.pop(launch.program, None)

    def access(self, launch: Launch, access: Access, proceed: Callable[[Access], Any]) -> Any:  # noqa: D102
        number = self._numbers.setdefault(launch.program, len(self._numbers))
        if access.volatile:
            return proceed(access)
        bits = access.bits if access.kind == "store" else None
        touched = _Touched(access.addresses, access.size, number, KINDS.index(access.kind), bits)
        self._log.append(touched)
        fresh = self._fresh[launch.program]
        if access.kind == "store":
            self._check_lanes(launch, touched)
            fresh.append(touched.addresses)
        elif fresh:
            again = np.isin(touched.addresses, np.concatenate(fresh))
            if again.any():
                name, element = launch.elements(touched.addresses[again], access.size)[0]
                raise Race(f"{launch.here}: {access.kind}s {name}[{element}], which it stored, and no barrier between")
        return proceed(access)

    def _check_lanes(self, launch: Launch, store: _Touched) -> None:
        """Race where lanes of one store share an address, with different bits or where equal ones are not allowed."""
        order = np.argsort(store.addresses, kind="stable")
        addresses, bits = store.addresses[order], store.bits[order]
        shared = addresses[1:] == addresses[:-1]
        differ = shared & (bits[1:] != bits[:-1])
        bad = differ if self.identical_stores or differ.any() else shared
        if bad.any():
            name, element = launch.elements(addresses[1:][bad], store.size)[0]
            values = "different values" if differ.any() else "equal values"
            raise Race(f"{launch.here}: lanes of one store write {values} to {name}[{element}]")

    def done(self, launch: Launch) -> None:
        """Race, if cells are shared."""
        log = [touched for touched in self._log if touched.addresses.size]
        if not log:
            return
        grain = grain_of((touched.addresses, touched.size) for touched in log)
        spread = [cells(touched.addresses, touched.size, grain) for touched in log]
        cell, at = np.unique(np.concatenate(spread), return_inverse=True)
        program = np.concatenate([np.full(s.size, t.program) for s, t in zip(spread, log, strict=True)])
        kind = np.concatenate([np.full(s.size, t.kind) for s, t in zip(spread, log, strict=True)])
        several = np.not_equal(*_least_and_most(program, at, cell.size))
        loaded, stored, atomic = (np.bincount(at[kind == k], minlength=cell.size) > 0 for k in range(len(KINDS)))
        shared = several & (stored | (loaded & atomic))
        if self.identical_stores and shared.any():
            is_store = kind == KINDS.index("store")
            bits = np.concatenate([t.bits.view(f"u{grain}") for t in log if t.bits is not None]).astype(np.uint64)
            equal = np.equal(*_least_and_most(bits, at[is_store], cell.size))
            allowed = shared & equal & ~loaded & ~atomic
            for name, _ in launch.elements(cell[allowed], grain):
                self.identical[launch.kernel, name] += 1
            shared &= ~allowed
        if shared.any():
            first = int(np.flatnonzero(shared)[0])
            elements = launch.elements(cell[shared], grain)
            name, element = elements[0]
            low, high = program[at == first].min(), program[at == first].max()
            programs = list(self._numbers)
            kinds = [k for k, has in zip(KINDS, (loaded, stored, atomic), strict=True) if has[first]]
            raise Race(
                f"{launch.kernel}: programs share {len(elements)} elements that one of them stores to, the first "
                f"{name}[{element}]: {' and '.join(kinds)}, by {list(programs[low])} and {list(programs[high])}"
            )


def _least_and_most(values: Any, at: Any, cells: int) -> tuple[Any, Any]:
    """The smallest and the largest of the values at each cell; equal where it has none."""
    order = np.lexsort((values, at))
    low, high = np.zeros((2, cells), values.dtype)
    # of several assignments to one place the last one stays
    low[at[order][::-1]], high[at[order]] = values[order][::-1], values[order]
    return low, high

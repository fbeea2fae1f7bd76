"""What an instrument sees of an interpreted kernel: its launches, and their accesses to memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .memory import Addresses, Region

Program = tuple[int, int, int]
# The interpreter's methods that touch memory: what they do, and which of their arguments is what.
METHODS: dict[str, tuple[str, dict[str, int]]] = {
    "create_masked_load": ("load", {"pointers": 0, "mask": 1, "other": 2, "volatile": 5}),
    "create_masked_store": ("store", {"pointers": 0, "value": 1, "mask": 2}),
    "create_atomic_rmw": ("atomic", {"pointers": 1, "mask": 3}),
    "create_atomic_cas": ("atomic", {"pointers": 0}),
}


class Finding(Exception):
    """What an instrument has found wrong in a kernel."""


@dataclass(frozen=True)
class Access:
    """One load, store or atomic of one program, with the interpreter's own arguments."""

    method: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """The interpreter's handle of the pointers, the mask, the value or other; None where there is none."""
        place = METHODS[self.method][1].get(name)
        return None if place is None else self.arguments[place]

    def having(self, **handles: Any) -> "Access":
        """The same access with other handles."""
        arguments = list(self.arguments)
        for name, handle in handles.items():
            arguments[METHODS[self.method][1][name]] = handle
        return replace(self, arguments=tuple(arguments))

    @property
    def kind(self) -> str:
        """load, store or atomic."""
        return METHODS[self.method][0]

    @property
    def volatile(self) -> bool:
        """Whether it is a load of what other programs may be storing to."""
        return "volatile" in METHODS[self.method][1] and bool(self["volatile"])

    @property
    def size(self) -> int:
        """Bytes of an element."""
        return max(1, int(self["pointers"].get_element_ty().primitive_bitwidth) // 8)

    @property
    def active(self) -> npt.NDArray[np.bool_]:
        """Which lanes are not masked off."""
        mask = True if self["mask"] is None else np.asarray(self["mask"].data, bool)
        return np.broadcast_to(mask, np.shape(self["pointers"].data))

    @property
    def addresses(self) -> Addresses:
        """Those of the active lanes, flat."""
        return np.asarray(self["pointers"].data)[self.active]

    @property
    def bits(self) -> npt.NDArray[Any]:
        """What the active lanes store, as unsigned integers, flat."""
        value = np.broadcast_to(self["value"].data, self.active.shape)[self.active]
        return value.view(f"u{value.dtype.itemsize}")


@dataclass
class Launch:
    """One launch: its kernel's name, its tensor arguments by name, and how to run one of its programs."""

    kernel: str
    regions: dict[str, Region] = field(default_factory=dict)
    run: Callable[[Program], None] = lambda program: None

    @property
    def program(self) -> Program:
        """Which program runs."""
        from triton.runtime.interpreter import interpreter_builder

        x, y, z = interpreter_builder.grid_idx
        return x, y, z

    @property
    def here(self) -> str:
        """The kernel and the program that runs, for messages."""
        return f"{self.kernel}{list(self.program)}"

    def owners(self, addresses: Addresses, size: int) -> npt.NDArray[np.int64]:
        """For each address the number of the first argument, in the order of `regions`, that holds it; -1 for none."""
        found = np.full(addresses.shape, -1)
        for k, region in reversed(list(enumerate(self.regions.values()))):
            inside = (addresses >= np.uint64(region.begin)) & (addresses + np.uint64(size) <= np.uint64(region.end))
            found[inside] = k
        return found

    def elements(self, addresses: Addresses, size: int) -> list[tuple[str, int]]:
        """The arguments, and the elements in them, that addresses belong to, each once."""
        regions = list(self.regions.items())
        found: dict[tuple[str, int], None] = {}
        for address, k in zip(addresses.tolist(), self.owners(addresses, size).tolist(), strict=True):
            name, region = regions[k] if k >= 0 else ("memory of no argument", Region(0, 0, 1, (), ()))
            found[name, (address - region.begin) // region.itemsize] = None
        return list(found)


class Observer:
    """Sees what interpreted kernels do, and may change it; a subclass overrides what it needs."""

    def launch(self, launch: Launch) -> None:
        """Called before the first program."""

    def arguments(self, launch: Launch, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments that programs are called with."""
        return arguments

    def programs(self, launch: Launch, programs: list[Program], proceed: Callable[[list[Program]], None]) -> None:
        """Runs the programs: by `proceed` one after another, or each by `launch.run`."""
        proceed(programs)

    def access(self, launch: Launch, access: Access, proceed: Callable[[Access], Any]) -> Any:
        """Performs the access, by `proceed`, and returns what it loads."""
        return proceed(access)

    def barrier(self, launch: Launch) -> None:
        """Called at a barrier of the program that runs."""

    def done(self, launch: Launch) -> None:
        """Called after the last program."""

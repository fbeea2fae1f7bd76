"""Instruments that show on a CPU what Triton's interpreter hides: races, wrong addresses, memory nobody wrote.

`with stacked(["races", "bounds"]): ...` puts what runs within it under several.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from .bounds import Bounds
from .hook import observed
from .order import interleaved_programs, reversed_programs, shuffled_programs
from .poison import poisoned
from .races import Races

__all__ = ["INSTRUMENTS", "ORDERS", "stacked"]

# By the names that a command line takes. One that is entered later sees accesses before those entered earlier, so
# races are looked for in whole accesses, not torn ones; and bounds comes last, because it alone knows its addresses.
INSTRUMENTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "poison": poisoned,
    "reversed": reversed_programs,
    "shuffled": shuffled_programs,
    "interleaved": interleaved_programs,
    "races": lambda: observed(Races(identical_stores=True)),
    "bounds": lambda: observed(Bounds()),
}
ORDERS = ("reversed", "shuffled", "interleaved")


@contextmanager
def stacked(names: Iterable[str]) -> Iterator[None]:
    """Enters the instruments of these names, each once, in the order that they need.

    Raises:
        ValueError: a name of none, or two orders of programs at once.
        RuntimeError: an instrument needs Triton's interpreter, and kernels are not interpreted.
    """
    wanted = set(names)
    if unknown := wanted - set(INSTRUMENTS):
        raise ValueError(f"no instrument is called {', '.join(sorted(unknown))}; there are {', '.join(INSTRUMENTS)}")
    if len(wanted & set(ORDERS)) > 1:
        raise ValueError(f"programs run in one order at a time: {', '.join(name for name in ORDERS if name in wanted)}")
    with ExitStack() as stack:
        for name, instrument in INSTRUMENTS.items():
            if name in wanted:
                stack.enter_context(instrument())
        yield

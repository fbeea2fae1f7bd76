"""Other orders of a launch's programs than the interpreter's, one after another from the first to the last."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from typing import Any

import numpy as np

from .hook import observed
from .observer import Access, Launch, Observer, Program


class _Reversed(Observer):
    def programs(self, launch: Launch, programs: list[Program], proceed: Callable[[list[Program]], None]) -> None:
        proceed(programs[::-1])


class _Shuffled(Observer):
    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def programs(self, launch: Launch, programs: list[Program], proceed: Callable[[list[Program]], None]) -> None:
        proceed([programs[i] for i in self.random.permutation(len(programs))])


class _Interleaved(Observer):
    """Programs are greenlets, and switch before each access and between the two parts of a torn one."""

    def __init__(self, seed: int, window: int, torn: bool) -> None:
        import greenlet

        self.greenlet = greenlet
        self.random = np.random.default_rng(seed)
        self.window, self.torn = window, torn
        self.hub: Any = None

    def programs(self, launch: Launch, programs: list[Program], proceed: Callable[[list[Program]], None]) -> None:
        from triton.runtime.interpreter import interpreter_builder

        waiting = [programs[i] for i in self.random.permutation(len(programs))]
        running: list[tuple[Program, Any]] = []
        self.hub = self.greenlet.getcurrent()
        try:
            while waiting or running:
                while waiting and len(running) < self.window:
                    running.append((waiting.pop(), self.greenlet.greenlet(launch.run, self.hub)))
                    # a greenlet has a context of its own, and numpy's errstate is in it
                    running[-1][1].gr_context = copy_context()
                i = int(self.random.integers(len(running)))
                program, thread = running[i]
                interpreter_builder.set_grid_idx(*program)
                # what a program raises is raised here
                thread.switch() if thread else thread.switch(program)
                if thread.dead:
                    running.pop(i)
        finally:
            for _, thread in running:
                thread.throw()

    def access(self, launch: Launch, access: Access, proceed: Callable[[Access], Any]) -> Any:
        from triton.runtime.interpreter import TensorHandle

        self.hub.switch()
        if not self.torn or access.kind == "atomic":
            return proceed(access)
        first = self.random.random(access.active.shape) < 0.5
        mask = access["mask"]
        loaded = proceed(access.having(mask=TensorHandle(access.active & first, mask.dtype)))
        self.hub.switch()
        rest = access.having(mask=TensorHandle(access.active & ~first, mask.dtype))
        return proceed(rest.having(other=loaded) if access.kind == "load" else rest)


def reversed_programs() -> AbstractContextManager[object]:
    """Within it, the programs of each launch run from the last to the first."""
    return observed(_Reversed())


def shuffled_programs(seed: int = 0) -> AbstractContextManager[object]:
    """Within it, the programs of each launch run one after another in random order."""
    return observed(_Shuffled(seed))


@contextmanager
def interleaved_programs(seed: int = 0, window: int = 8, torn: bool = True) -> Iterator[None]:
    """Within it, `window` programs at a time take turns, at every load and store, at random.

    torn: loads and stores are done in two parts too, of random lanes, as the warps of one program run apart.
    """
    with observed(_Interleaved(seed, window, torn)):
        yield

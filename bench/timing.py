"""Seconds that a call takes from a cold cache, by the wall clock of a CPU; and calls that take turns."""

import gc
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from tembed.parity.compare import describe

Run = Callable[[], Tensor]

MB, GB = 1 << 20, 1 << 30


def nothing() -> None:
    """Restores what needs no restoring."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A call as it is timed.

    Args:
        method: "wall", "graph" or "events".
        launch: what is timed; gives the output.
        output: of a graph: where every replay writes.
        note: why there is no graph.
        captured: of a graph: what it holds, which owns the memory that replays read.
    """

    method: str
    launch: Run
    output: Tensor | None = None
    note: str = ""
    captured: Run | None = None


class Timer:
    """Wall clock; for the CPU."""

    copied: tuple[int, ...] = (64 * MB, 128 * MB)  # sizes of the copies from which the bandwidth is taken

    def __init__(self, device: torch.device, flush_bytes: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.device, self.clock, self.flush_bytes = device, clock, flush_bytes
        self.buffer = torch.zeros(flush_bytes // 4, device=device)

    def flush(self) -> None:
        """Leaves nothing in the caches that a call has use for."""
        self.buffer.add_(1)

    def prepare(self, run: Run) -> Prepared:
        """A call that has run before, made ready to be timed."""
        return Prepared("wall", run)

    def prepare_waiting(self, run: Run, note: str) -> Prepared:
        """The same, of a call that is never captured; the note says why."""
        return Prepared("wall", run)

    def active(self) -> AbstractContextManager[None]:
        """Within it inputs are made, and calls prepared and timed."""
        return nullcontext()

    def sample(self, launch: Callable[[], object], restore: Callable[[], None] = nothing) -> float:
        """Seconds of one call, after restoring and flushing, which are not counted."""
        restore()
        self.flush()
        begin = self.clock()
        launch()
        return self.clock() - begin

    def peak(self, run: Run) -> int | None:
        """Bytes that are allocated at once during a call, beside what was there before; None where nobody counts."""
        return None

    def free(self) -> int:
        """Bytes that inputs and outputs may take: half of the machine's memory."""
        if not hasattr(os, "sysconf"):
            return 8 * GB
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2

    def release(self) -> None:
        """Gives unused memory back."""
        gc.collect()


def take_turns(
    samplers: Mapping[str, Callable[[], float]], enough: Callable[[int], bool]
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """One sample of each in every round, the order reversed in every other, until so many rounds are enough.

    Returns:
        The samples, the n-th of each from the same round; and what was raised, by those that raised and have none.
    """
    samples: dict[str, list[float]] = {name: [] for name in samplers}
    failed: dict[str, str] = {}
    done = 0
    while samples and not enough(done):
        for name in [*samples] if done % 2 == 0 else [*reversed(samples)]:
            try:
                seconds = samplers[name]()
            except Exception as error:  # noqa: PERF203
                failed[name] = describe(error)
                del samples[name]
            else:
                samples[name].append(seconds)
        done += 1
    return samples, failed

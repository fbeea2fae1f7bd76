"""Seconds on the device's own clock, where that is CUDA, from a cold cache.

What is timed stands between two events: the replay of a graph that holds one call, or the call itself where it cannot
be captured. Before every sample a buffer larger than the cache is written, and then read, so that the sample does not
pay for lines to be written back. That keeps the device busy while the host submits what is timed.

All is done on one stream, on which also the graphs are captured: a backward runs where its forward did, and a capture
sees one stream.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tembed.parity.compare import describe

from .memory import REQUESTED
from .timing import GB, MB, Prepared, Run, Timer, nothing

WARM_UP = 3  # calls before a capture


class CudaTimer(Timer):
    """Events on the device; `cuda` is torch.cuda."""

    copied = (256 * MB, GB, 2 * GB)

    def __init__(self, device: torch.device, flush_bytes: int, cuda: Any = torch.cuda) -> None:
        super().__init__(device, flush_bytes)
        self.cuda = cuda
        self.total = torch.zeros((), device=device)
        self.side = cuda.Stream()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within it, the current stream is the one on which calls are captured."""
        before = self.cuda.current_stream()
        self.side.wait_stream(before)
        try:
            with self.cuda.stream(self.side):
                yield
        finally:
            before.wait_stream(self.side)

    def flush(self) -> None:
        """Writes the buffer, then reads it."""
        self.buffer.zero_()
        torch.sum(self.buffer, 0, out=self.total)

    def prepare(self, run: Run) -> Prepared:
        """A graph of one call; the call itself if it waits for the device, or cannot be captured."""
        cuda = self.cuda
        with self.active():
            for _ in range(WARM_UP):
                run()
            waits = self._waits(run)
        cuda.synchronize()
        if waits:
            return Prepared("events", run, note=waits)
        graph = cuda.CUDAGraph()
        try:
            with cuda.graph(graph, stream=self.side):
                output = run()
        except RuntimeError as error:
            cuda.synchronize()
            return Prepared("events", run, note=describe(error))

        def replay() -> Tensor:
            graph.replay()
            return output

        return Prepared("graph", replay, output, captured=run)

    def prepare_waiting(self, run: Run, note: str) -> Prepared:
        """The call itself, warm."""
        for _ in range(WARM_UP):
            run()
        self.cuda.synchronize()
        return Prepared("events", run, note=note)

    def _waits(self, run: Run) -> str:
        """What torch says of a call that waits for the device: known before a capture, which would fail half-way."""
        before = self.cuda.get_sync_debug_mode()
        self.cuda.set_sync_debug_mode("error")
        try:
            run()
        except RuntimeError as error:
            return describe(error)
        finally:
            self.cuda.set_sync_debug_mode(before)
        return ""

    def sample(self, launch: Callable[[], object], restore: Callable[[], None] = nothing) -> float:
        """Seconds between two events on the device around one call."""
        restore()
        self.flush()
        begin, end = (self.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        launch()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) * 1e-3

    def peak(self, run: Run) -> int | None:
        """As asked of torch's allocator."""
        self.cuda.synchronize()
        self.cuda.reset_peak_memory_stats()
        before = int(self.cuda.memory_stats()[REQUESTED.format("current")])
        run()
        self.cuda.synchronize()
        return int(self.cuda.memory_stats()[REQUESTED.format("peak")]) - before

    def free(self) -> int:
        """What the device has left, with a tenth spared."""
        self.release()
        return int(self.cuda.mem_get_info()[0] * 0.9)

    def release(self) -> None:
        """Gives cached memory back to the device."""
        gc.collect()
        self.cuda.empty_cache()

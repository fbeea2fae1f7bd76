"""One workload: every provider checked, then timed in turns with the others."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import Any

import torch

from tembed.parity.compare import describe

from .forward import FORWARD, Operation
from .inputs import make_inputs
from .providers import STOCK, Provider
from .ready import Sampler, make_ready
from .summary import summary
from .timing import Timer, take_turns
from .workloads import Workload

Data = dict[str, Any]

WARM_UP_ROUNDS, WARM_UP_SECONDS = 3, 0.1
LEAST_ROUNDS = 6


def measure(
    workload: Workload,
    providers: Iterable[Provider],
    timer: Timer,
    rounds: int,
    seconds: float,
    operation: Operation = FORWARD,
    clock: Callable[[], float] = time.monotonic,
) -> Data:
    """What came of a workload in about so many seconds and at most so many rounds, as data.

    A provider has samples, or it is "unsupported" or "failed" with the reason, and has no numbers then.
    """
    until = clock() + seconds
    row: Data = {"operation": operation.name, **asdict(workload), "N": workload.N}
    chosen = [*providers]
    if reason := operation.skips(workload):
        return {**row, "skipped": reason}
    needed, free = operation.needs(workload, len(chosen)), timer.free()
    if needed > free:
        return {**row, "skipped": f"needs about {needed / 1e9:.1f} GB, of which {free / 1e9:.1f} are there"}
    with timer.active(), _compiling(chosen):
        try:
            inputs = operation.extend(make_inputs(workload, timer.device))
        except (torch.OutOfMemoryError, MemoryError) as error:
            return {**row, "skipped": describe(error)}
        found, ready = make_ready(chosen, inputs, timer, operation)
        samples = _time(found, ready, rounds, until, clock)
    row |= {"unique": inputs.unique, "useful_bytes": operation.bytes(workload, inputs.unique)}
    if operation.gradient_bytes:
        row["gradient_bytes"] = operation.gradient_bytes(workload, inputs.unique)
    for name, its in samples.items():
        # a graph's replay and a call between events differ by more than the device's work
        alike = found.get(STOCK, {}).get("method") == found[name]["method"]
        found[name] |= {**summary(its, samples.get(STOCK) if alike else None), "samples_s": its}
        found[name]["bytes_per_s"] = row["useful_bytes"] / found[name]["median_s"]
        if operation.gradient_bytes and found[name]["peak_bytes"] is not None:
            found[name]["beyond_bytes"] = found[name]["peak_bytes"] - row["gradient_bytes"]
    return {**row, "rounds": max(map(len, samples.values()), default=0), "providers": found}


def _compiling(providers: Iterable[Provider]) -> AbstractContextManager[Any]:
    """Starts without compiled code; where torch would compile again and again, and then no more, it raises."""
    if not any(provider.compiled for provider in providers):
        return nullcontext()
    torch.compiler.reset()
    config: Any = torch._dynamo.config
    patched: AbstractContextManager[Any] = config.patch(fail_on_recompile_limit_hit=True)
    return patched


def _time(
    found: dict[str, Data],
    ready: dict[str, Sampler],
    rounds: int,
    until: float,
    clock: Callable[[], float],
) -> dict[str, list[float]]:
    """The samples of those that are ready; one that raises loses its own."""

    def enough_warm_up(done: int) -> bool:
        return done >= min(WARM_UP_ROUNDS, rounds) and (clock() >= begin + WARM_UP_SECONDS or clock() >= until)

    def enough(done: int) -> bool:
        return done >= rounds or (done >= LEAST_ROUNDS and clock() >= until)

    samplers = dict(ready)
    begin = clock()
    for done in (enough_warm_up, enough):
        samples, failed = take_turns(samplers, done)
        for name, message in failed.items():
            found[name] = {"failed": message}
            del samplers[name]
    return samples

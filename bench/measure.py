"""One workload: every provider checked, then timed in turns with the others."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tembed.parity.compare import describe

from .forward import FORWARD, Operation
from .inputs import Inputs, bytes_needed, make_inputs
from .providers import STOCK, Provider
from .summary import summary
from .timing import Prepared, Timer, take_turns
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
    needed, free = bytes_needed(workload, len(chosen)), timer.free()
    if needed > free:
        return {**row, "skipped": f"needs about {needed / 1e9:.1f} GB, of which {free / 1e9:.1f} are there"}
    try:
        inputs = make_inputs(workload, timer.device)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return {**row, "skipped": describe(error)}
    row |= {"unique": inputs.unique, "useful_bytes": operation.bytes(workload, inputs.unique)}
    with _compiling(chosen):
        found, ready = _prepare(chosen, inputs, timer, operation)
        samples = _time(found, ready, inputs, timer, rounds, until, clock)
    for name, its in samples.items():
        # a graph's replay and a call between events differ by more than the device's work
        alike = found.get(STOCK, {}).get("method") == found[name]["method"]
        found[name] |= {**summary(its, samples.get(STOCK) if alike else None), "samples_s": its}
        found[name]["bytes_per_s"] = row["useful_bytes"] / found[name]["median_s"]
    return {**row, "rounds": max(map(len, samples.values()), default=0), "providers": found}


def _compiling(providers: Iterable[Provider]) -> AbstractContextManager[Any]:
    """Starts without compiled code; where torch would compile again and again, and then no more, it raises."""
    if not any(provider.compiled for provider in providers):
        return nullcontext()
    torch.compiler.reset()
    config: Any = torch._dynamo.config
    patched: AbstractContextManager[Any] = config.patch(fail_on_recompile_limit_hit=True)
    return patched


def _prepare(
    providers: Iterable[Provider], inputs: Inputs, timer: Timer, operation: Operation
) -> tuple[dict[str, Data], dict[str, Prepared]]:
    """What is known of each provider before the timing; and those that are right, ready to be timed."""
    found: dict[str, Data] = {}
    ready: dict[str, Prepared] = {}
    for provider in providers:
        if lacks := provider.lacks(inputs.workload, timer.device):
            found[provider.name] = {"unsupported": lacks}
            continue
        try:
            prepared, peak = _checked(provider, inputs, timer, operation)
        except Exception as error:
            found[provider.name] = {"failed": describe(error)}
        else:
            ready[provider.name] = prepared
            found[provider.name] = {"gate": "passed", "method": prepared.method, "peak_bytes": peak}
            if prepared.note:
                found[provider.name]["note"] = prepared.note
    return found, ready


def _checked(provider: Provider, inputs: Inputs, timer: Timer, operation: Operation) -> tuple[Prepared, int | None]:
    """A provider's call, found right, also as it will be timed; and the memory that it takes."""
    lookup = provider.lookup(inputs.workload.max_norm)
    for indices in (inputs.fresh, inputs.indices):
        run = operation.prepare(lookup, inputs, indices)
        operation.check(run, inputs, indices)
    inputs.restore()
    peak = timer.peak(run)
    prepared = timer.prepare(run)
    output = prepared.output
    if output is not None:

        def replay() -> Tensor:
            output.detach().fill_(float("nan"))
            return prepared.launch()

        operation.check(replay, inputs, inputs.indices)
    return prepared, peak


def _time(
    found: dict[str, Data],
    ready: dict[str, Prepared],
    inputs: Inputs,
    timer: Timer,
    rounds: int,
    until: float,
    clock: Callable[[], float],
) -> dict[str, list[float]]:
    """The samples of those that are ready; one that raises loses its own."""

    def enough_warm_up(done: int) -> bool:
        return done >= min(WARM_UP_ROUNDS, rounds) and (clock() >= begin + WARM_UP_SECONDS or clock() >= until)

    def enough(done: int) -> bool:
        return done >= rounds or (done >= LEAST_ROUNDS and clock() >= until)

    samplers = {name: partial(timer.sample, its.launch, inputs.restore) for name, its in ready.items()}
    begin = clock()
    for done in (enough_warm_up, enough):
        samples, failed = take_turns(samplers, done)
        for name, message in failed.items():
            found[name] = {"failed": message}
            del samplers[name]
    return samples

"""Providers made ready to be timed: those that can do a workload, and do it right."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor

from tembed.parity.compare import describe

from .forward import Operation
from .inputs import Inputs
from .providers import Provider
from .timing import Prepared, Run, Timer

Data = dict[str, Any]
Sampler = Callable[[], float]

WAITS = "the host waits for the size of a sparse gradient"


def make_ready(
    providers: Iterable[Provider], inputs: Inputs, timer: Timer, operation: Operation
) -> tuple[dict[str, Data], dict[str, Sampler]]:
    """What is known of each provider before the timing; and what times those that are right."""
    found: dict[str, Data] = {}
    ready: dict[str, Sampler] = {}
    for provider in providers:
        if unable := provider.unable(inputs.workload, timer.device, operation.backward, operation.sparse):
            found[provider.name] = {"unsupported": unable}
            continue
        try:
            prepared, judged, peak = _checked(provider, inputs, timer, operation)
        except Exception as error:
            found[provider.name] = {"failed": describe(error)}
        else:
            ready[provider.name] = partial(_sample, provider, prepared, inputs, timer)
            found[provider.name] = {"gate": "passed", "judged": judged, "method": prepared.method, "peak_bytes": peak}
            if prepared.note:
                found[provider.name]["note"] = prepared.note
    return found, ready


def _checked(
    provider: Provider, inputs: Inputs, timer: Timer, operation: Operation
) -> tuple[Prepared, str, int | None]:
    """A provider's call, found right, also as it will be timed; by what it was judged; the memory that it takes."""
    lookup = provider.lookup(inputs.workload.max_norm, operation.sparse)
    judged: dict[str, None] = {}
    for indices in (inputs.fresh, inputs.indices):
        with provider.within():
            run = operation.prepare(lookup, inputs, indices)
        judged[operation.check(partial(_within, provider, run), inputs, indices, provider.as_stock)] = None
    inputs.restore()
    with provider.within():
        peak = timer.peak(run)
        prepared = timer.prepare_waiting(run, WAITS) if operation.sparse else timer.prepare(run)
    output = prepared.output
    if output is not None:

        def replay() -> Tensor:
            output.detach().fill_(float("nan"))
            return prepared.launch()

        judged[operation.check(replay, inputs, inputs.indices, provider.as_stock)] = None
    return prepared, "; ".join(judged), peak


def _within(provider: Provider, run: Run) -> Tensor:
    """What the call gives, with on what the provider wants on; that is not on for what checks it."""
    with provider.within():
        return run()


def _sample(provider: Provider, prepared: Prepared, inputs: Inputs, timer: Timer) -> float:
    """Seconds of one call; what is on during it is turned on before."""
    with provider.within():
        return timer.sample(prepared.launch, inputs.restore)

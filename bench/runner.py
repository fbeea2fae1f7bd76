"""Workload after workload within a number of seconds; what there is by then is never lost."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tembed.parity.compare import describe

from .ceiling import copy_bandwidth, method_floor
from .forward import FORWARD, Operation
from .measure import measure
from .providers import Provider
from .timing import Timer
from .workloads import Workload

Data = dict[str, Any]


def run(
    document: Data,
    workloads: list[Workload],
    providers: list[Provider],
    timer: Timer,
    rounds: int,
    budget: float,
    save: Callable[[str], None],
    operations: Sequence[Operation] = (FORWARD,),
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Fills the document, and saves it after every workload; an interrupt ends it early.

    Args:
        budget: seconds for all. Each workload gets for each operation an equal part of what is left, and none begins
            when nothing is.
        save: called when there is more to keep, with what became of a workload: "pass", "fail" or "skip".
    """
    end = clock() + budget
    try:
        document |= {"budget_s": budget, "flush_bytes": timer.flush_bytes}
        document |= {"copy": copy_bandwidth(timer), "floor": method_floor(timer)}
        every = [(operation, workload) for operation in operations for workload in workloads]
        for i, (operation, workload) in enumerate(every):
            left = end - clock()
            row = _row(operation, workload, providers, timer, rounds, left / (len(every) - i), document)
            document["workloads"].append(row)
            timer.release()
            save(_outcome(row))
    except KeyboardInterrupt:
        document["interrupted"] = True


def _row(
    operation: Operation,
    workload: Workload,
    providers: list[Provider],
    timer: Timer,
    rounds: int,
    seconds: float,
    document: Data,
) -> Data:
    about = {"workload": workload.name, "suite": workload.suite, "operation": operation.name}
    if seconds <= 0:
        return {**about, "skipped": f"the budget of {document['budget_s']:g} s was spent"}
    scale = document["scale"]
    try:
        scaled = workload if scale == 1 else workload.scaled(scale)
        row = measure(scaled, providers, timer, rounds, seconds, operation)
    except Exception as error:
        return {**about, "skipped": describe(error)}
    copied = document["copy"]["bytes_per_s"]
    for its in row.get("providers", {}).values():
        if "bytes_per_s" in its:
            its["of_copy"] = copied and its["bytes_per_s"] / copied
    return {**about, **row}


def _outcome(row: Data) -> str:
    if "skipped" in row:
        return "skip"
    return "fail" if any("failed" in its for its in row["providers"].values()) else "pass"


@contextmanager
def terminable() -> Iterator[None]:
    """Within it SIGTERM, which ends what takes too long, interrupts as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

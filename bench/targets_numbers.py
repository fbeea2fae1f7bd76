"""What targets can be set for: numbers of what `run` or `call` wrote, each with the name of its workload or call."""

import json
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from tembed.parity.process import UsageError

from .call_time import REPORTS
from .documents import by_operation, read_document, timed
from .summary import summary
from .workloads import Workload

Data = dict[str, Any]
Numbers = Iterator[tuple[str, float | None]]  # None: the two were timed by two methods
Pick = Callable[[Data], Numbers]
Where = Callable[[Workload], bool]

OURS = "tembed"
ABOUT = ("device", "driver", "torch", "kernels", "commit")  # of an environment


def read(path: Path) -> Data:
    """What `run` or `call` wrote, the latter as a document without workloads; UsageError if it is neither."""
    if calls := _calls(path):
        device = "cpu" if calls["environment"]["gpu"] is None else "cuda"
        return {**calls, "device": device, "scale": 1, "copy": None, "workloads": []}
    document = read_document(path)
    try:
        _ = document["environment"]["driver"]
        _ = [workload_of(row) for row in document["workloads"] if "providers" in row]
    except (LookupError, TypeError) as error:
        raise UsageError(f"{path}: no document of a run ({type(error).__name__}: {error})") from None
    return document


def _calls(path: Path) -> Data | None:
    """What `call` wrote; None if it is something else."""
    try:
        found = json.loads(path.read_text())
        _ = [found["environment"][key] for key in ("gpu", *ABOUT)]
        for its in found["results"].values():
            _ = its["ratio"], [a - b for a, b in its["samples_s"]]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return dict(found)


def anything(workload: Workload) -> bool:
    """Every workload."""
    return True


def workload_of(row: Data) -> Workload:
    """The workload that a document's row is of, as it was run: scaled, if that was asked for."""
    found = {field.name: row[field.name] for field in fields(Workload)}
    return Workload(**{**found, "shape": tuple(found["shape"])})


def ratio(
    base: str,
    operation: str,
    where: Where = anything,
    ours: str = OURS,
    spared: tuple[float, int] = (0, 0),
) -> Pick:
    """Time over the base's in the same run: the median over rounds, where both were timed by one method.

    Args:
        spared: not counted of ours: seconds, and bytes for each lookup, at the copy bandwidth.
    """

    def pick(document: Data) -> Numbers:
        copied = (document["copy"] or {}).get("bytes_per_s") or float("inf")
        for name, workload, its in _rows(document, operation, where):
            if ours in its and base in its:
                alike = its[ours]["method"] == its[base]["method"]
                off = spared[0] + spared[1] * workload.N / copied
                samples = [seconds - off for seconds in its[ours]["samples_s"]]
                yield name, summary(samples, its[base]["samples_s"])["ratio"] if alike else None

    return pick


def share(operation: str, where: Where) -> Pick:
    """Per cent of the copy bandwidth that the least bytes come to in the time."""

    def pick(document: Data) -> Numbers:
        for name, _, its in _rows(document, operation, where):
            if its.get(OURS, {}).get("of_copy"):
                yield name, 100 * its[OURS]["of_copy"]

    return pick


def call(form: str) -> Pick:
    """Wall clock of a call over stock's."""

    def pick(document: Data) -> Numbers:
        yield from ((name, its["ratio"]) for name, its in document.get("results", {}).items() if name.startswith(form))

    return pick


def reports(document: Data) -> Numbers:
    """Microseconds that reports of bad indices add to a call: the median over neighbouring blocks."""
    for name, its in document.get("results", {}).items():
        if name.startswith(REPORTS):
            yield name, float(np.median([with_them - without for without, with_them in its["samples_s"]])) * 1e6


def _rows(document: Data, operation: str, where: Where) -> Iterator[tuple[str, Workload, dict[str, Data]]]:
    """Of an operation, each workload's name and sizes, and by provider what has numbers."""
    for row in by_operation(document).get(operation, {"workloads": []})["workloads"]:
        found = {provider: its for (_, _, provider), its in timed({"workloads": [row]}).items()}
        if found and where(workload_of(row)):
            yield row["workload"], workload_of(row), found

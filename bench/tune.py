"""What becomes of times if one constant of kernels/tiles.py changes: the evidence that the table is chosen from.

For each area, workload and operation the present table and its variations are timed in turns, behind the parity gate: a
variation that is wrong gets no numbers. Only those are timed that launch something else there. A control, the present
table under another name, shows what the method tells apart though it is the same. The document is one of `run`, with an
area in each row.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import tembed
from tembed import kernels
from tembed.parity.checks import check_file
from tembed.parity.printing import Progress, to_reader
from tembed.parity.process import UsageError

from . import runner, tuned
from .arguments import SHARE, add_place, add_timing, add_workloads
from .candidates import Area, areas
from .ceiling import timer_on
from .choices import check_timeable, chosen_workloads
from .documents import failures, new_document, write_document
from .environment import current_device, environment
from .timed import chosen
from .timing import Timer
from .variations import AREAS

Data = dict[str, Any]
Save = Callable[[str], None]

INTERRUPTED = 130
SUITE = "quick"
REHEARSAL = "a rehearsal, no kernel runs here, no variation changes anything and times mean nothing"


def run(
    document: Data,
    its: list[Area],
    timer: Timer,
    rounds: int,
    budget: float,
    save: Save,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Fills the document, area by area; the budget is shared evenly by their pairs, copies are timed once."""
    end, pairs = clock() + budget, sum(area.pairs for area in its)
    copied = timer.copied
    try:
        for area in its:
            share = max(0.0, end - clock()) * area.pairs / pairs
            _run_area(document, area, timer, rounds, share, save)
            pairs, timer.copied = pairs - area.pairs, ()
            if document["interrupted"]:
                break
    finally:
        timer.copied = copied
        document["budget_s"] = budget


def _run_area(document: Data, area: Area, timer: Timer, rounds: int, budget: float, save: Save) -> None:
    copy, begun = document["copy"], len(document["workloads"])

    def complete() -> None:
        document["copy"] = copy or document["copy"]
        for row in document["workloads"][begun:]:
            row["area"] = area.name
            for its in row.get("providers", {}).values():
                if "bytes_per_s" in its:
                    copied = document["copy"]["bytes_per_s"]
                    its["of_copy"] = copied and its["bytes_per_s"] / copied

    def completed(outcome: str) -> None:
        complete()
        save(outcome)

    runner.run(document, area.workloads, area.providers, timer, rounds, budget, completed, area.operations)
    complete()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add_workloads(parser, SUITE)
    says = f"only variations of this area; one of {', '.join(AREAS)}"
    parser.add_argument("--area", metavar="NAME", action="append", default=[], help=says)
    add_place(parser)
    add_timing(parser, "area, workload and operation")


def _checked(args: argparse.Namespace) -> list[Area]:
    """What is to be timed; UsageError if that cannot be."""
    for name in args.area:
        if name not in AREAS:
            raise UsageError(f"no area is called {name}; there are {', '.join(AREAS)}")
    args.suite = args.suite or [SUITE]
    workloads = chosen_workloads(args)
    check_timeable(args.device)
    check_file("--json", args.json)
    if not kernels.installed():
        raise UsageError("the table is that of kernels, which need Triton")
    if found := areas(args.area, workloads):
        return found
    raise UsageError("at these workloads no variation launches anything else")


def command(args: argparse.Namespace) -> int:
    """Times the variations; writes after each workload, and prints a table for each area."""
    its = _checked(args)
    device = current_device(args.device)
    says = {provider.name: provider.says for area in its for provider in area.providers}
    operations = [x.name for x in chosen(["all"]) if any(x in area.operations for area in its)]
    document = new_document(environment(str(device)), str(device), says, args.scale, args.suite, operations)
    if not tembed.path(device).startswith("kernels"):
        document["title"] += f"; {REHEARSAL}"
    pairs = sum(area.pairs for area in its)
    with runner.terminable(), Progress("bench tune", pairs, "workload") as progress:

        def save(outcome: str) -> None:
            if args.json:
                write_document(document, args.json)
            progress.step(outcome)

        run(document, its, timer_on(device), args.rounds, SHARE * pairs if args.budget is None else args.budget, save)
    if args.json:
        write_document(document, args.json)
    with to_reader():
        print(tuned.report(document))
    return INTERRUPTED if document["interrupted"] else int(bool(failures(document)))

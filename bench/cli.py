"""The commands: list the workloads, time them, compare two runs, draw one."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

import tembed
from tembed.parity.checks import check_device, check_file
from tembed.parity.printing import Progress, safe_output, to_reader
from tembed.parity.process import UsageError

from . import compare, plot, printing
from .arguments import SHARE, parser
from .ceiling import timer_on
from .documents import failures, new_document, read_document, write_document
from .environment import current_device, environment
from .providers import PROVIDERS, Provider
from .runner import run, terminable
from .workloads import SUITES, Workload, select

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status."""
    safe_output()
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parser(arguments).parse_args(arguments)
    commands = {"list": listing, "run": timing, "compare": comparing, "plot": plotting}
    try:
        if args.command in commands:
            return commands[args.command](args)
        return int(args.run(args))
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def chosen_workloads(args: argparse.Namespace) -> list[Workload]:
    """Those asked for; UsageError for a suite or a pattern that there is not."""
    for suite in args.suite:
        if suite not in SUITES:
            raise UsageError(f"no suite is called {suite}; there are {', '.join(SUITES)}")
    for pattern in args.workload:
        if not select(args.suite, [pattern]):
            suites = f" in {', '.join(args.suite)}" if args.suite else ""
            raise UsageError(f"no workload is called that{suites}: {pattern}")
    return select(args.suite, args.workload)


def chosen_providers(names: list[str]) -> list[Provider]:
    """Those asked for, in their order, or all."""
    for name in names:
        if name not in PROVIDERS:
            raise UsageError(f"no provider is called {name}; there are {', '.join(PROVIDERS)}")
    return [provider for name, provider in PROVIDERS.items() if not names or name in names]


def check_timeable(device: str) -> None:
    """UsageError if no time can be taken there."""
    check_device(device)
    if torch.device(device).type not in ("cuda", "cpu"):
        raise UsageError(f"--device {device}: times are taken on cuda and cpu")
    if tembed.path(device) == "kernels (interpreter)":
        raise UsageError("Triton's interpreter tells nothing of time: unset TRITON_INTERPRET")


def listing(args: argparse.Namespace) -> int:
    """Prints the workloads."""
    workloads = chosen_workloads(args)
    with to_reader():
        if args.json:
            rows = [{"workload": w.name, **asdict(w), "N": w.N, "bytes": w.bytes()} for w in workloads]
            print(json.dumps(rows, indent=1))
        else:
            print(printing.listing(workloads))
    return 0


def timing(args: argparse.Namespace) -> int:
    """Times the workloads; writes after each, and prints a table."""
    workloads, providers = chosen_workloads(args), chosen_providers(args.provider)
    check_timeable(args.device)
    check_file("--json", args.json)
    device = current_device(args.device)
    says = {provider.name: provider.says for provider in providers}
    document = new_document(environment(str(device)), str(device), says, args.scale, args.suite)
    budget = SHARE * len(workloads) if args.budget is None else args.budget
    with terminable(), Progress("bench", len(workloads), "workload") as progress:

        def save(outcome: str) -> None:
            if args.json:
                write_document(document, args.json)
            progress.step(outcome)

        run(document, workloads, providers, timer_on(device), args.rounds, budget, save)
    if args.json:
        write_document(document, args.json)
    with to_reader():
        print(printing.outcome(document))
    return INTERRUPTED if document["interrupted"] else int(bool(failures(document)))


def comparing(args: argparse.Namespace) -> int:
    """Prints two runs side by side."""
    a, b = read_document(args.a), read_document(args.b)
    with to_reader():
        print(compare.report(a, b))
    return 0


def plotting(args: argparse.Namespace) -> int:
    """Draws each run; a line for each picture."""
    documents = [(path, read_document(path)) for path in args.files]
    stems = [path.stem for path in args.files]
    for stem in stems:
        if stems.count(stem) > 1:
            raise UsageError(f"two files are called {stem}, and so would their pictures be")
    check_file("--out", args.out / "picture.png")
    for path, document in documents:
        saved = _draw(document, args.out, path)
        print("\n".join(map(str, saved)) or f"{path} has no times: no picture")
    return 0


def _draw(document: dict[str, object], folder: Path, path: Path) -> list[Path]:
    try:
        return plot.draw(document, folder, path.stem)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise UsageError("pictures need matplotlib: pip install 'tembed[bench]'") from None

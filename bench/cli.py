"""The commands: list the workloads, time them, compare two runs, draw one."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tembed.parity.checks import check_file
from tembed.parity.printing import Progress, safe_output, to_reader
from tembed.parity.process import UsageError

from . import compare, plot, printing
from .arguments import SHARE, parser
from .ceiling import timer_on
from .choices import check_timeable, chosen_operations, chosen_providers, chosen_workloads
from .documents import failures, new_document, read_document, write_document
from .environment import current_device, environment
from .runner import run, terminable

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
    operations = chosen_operations(args.operation)
    pairs = len(workloads) * len(operations)
    check_timeable(args.device)
    check_file("--json", args.json)
    device = current_device(args.device)
    says = {provider.name: provider.says for provider in providers}
    names = [operation.name for operation in operations]
    document = new_document(environment(str(device)), str(device), says, args.scale, args.suite, names)
    budget = SHARE * pairs if args.budget is None else args.budget
    with terminable(), Progress("bench", pairs, "workload") as progress:

        def save(outcome: str) -> None:
            if args.json:
                write_document(document, args.json)
            progress.step(outcome)

        run(document, workloads, providers, timer_on(device), args.rounds, budget, save, operations)
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

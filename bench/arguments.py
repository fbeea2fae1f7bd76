"""The arguments of the command line."""

import argparse
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from .providers import PROVIDERS
from .timed import NAMES
from .workloads import SUITES

ROUNDS = 100
SHARE = 20.0  # seconds for a workload and operation, where no budget is given

DESCRIPTION = "How long lookups take, on what, and against whom."
EPILOG = f"""\
Suites: {", ".join(SUITES)}. Providers: {", ".join(PROVIDERS)}.
Operations: {", ".join(NAMES)}; "step" is every step of training, with sparse gradients. A provider's output, table
and gradient are checked in the same process before it is timed; one that is wrong gets no numbers. Times are the
device's own, from cold caches; where a sparse gradient makes the host wait, its time is in them. GB/s counts what must
move: forward, indices, each row that is looked up once, the output, and rows over max_norm written back; backward, each
row of the output's gradient and each of the table's, sparse each that is looked up; of a step also the gradient read,
and rows of the table and of the optimizer's state read and written. Exit status: 0, 1 if a provider failed at a
workload, 2 wrong usage, 130 interrupted.
"""
# Commands of modules of their own, which are imported when they are asked for.
OTHERS = {
    "call": ("call_time", "wall clock of a call for 8 indices, against stock"),
    "traffic": ("traffic", "bytes that the kernels load and store, against the least that could be"),
    "sort": ("sort_time", "what sorting lookups takes, way by way"),
    "targets": ("targets", "what files of runs and calls say of each target: met, missed, not measured"),
    "tune": ("tune", "what times become of it if one constant of the table of tiles changes"),
    "once": ("once", "each call once, in a range of its name, for a profiler"),
    "static": ("static", "what the compiler makes of the kernels, without a GPU"),
}


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The arguments of all commands; of one of OTHERS in full only if it is the one that is asked for."""
    top = argparse.ArgumentParser(prog="python -m tembed.bench", description=DESCRIPTION, epilog=EPILOG)
    commands = top.add_subparsers(dest="command", required=True)
    listed = commands.add_parser("list", help="the workloads")
    add_workloads(listed)
    listed.add_argument("--json", action="store_true", help="prints them as JSON")
    timed = commands.add_parser("run", help="times lookups", epilog=EPILOG)
    add_workloads(timed)
    add_providers(timed, "all")
    add_place(timed)
    add_timing(timed, "workload and operation")
    compared = commands.add_parser("compare", help="puts the times of two runs side by side")
    compared.add_argument("a", type=Path, metavar="A.json")
    compared.add_argument("b", type=Path, metavar="B.json")
    plotted = commands.add_parser("plot", help="draws the times of runs")
    plotted.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    plotted.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the pictures go")
    for name, (module, says) in OTHERS.items():
        command = commands.add_parser(name, help=says)
        if name in arguments[:1]:
            imported = importlib.import_module(f"tembed.bench.{module}")
            imported.add_arguments(command)
            command.set_defaults(run=imported.command)
    return top


def add_workloads(command: argparse.ArgumentParser, default: str = "") -> None:
    """--suite, whose default is named, and --workload."""
    also = f" ({default})" if default else ""
    says = f"only this suite{also}; one of {', '.join(SUITES)}"
    command.add_argument("--suite", metavar="NAME", action="append", default=[], help=says)
    says = "only workloads of this name; * and ? stand for others"
    command.add_argument("--workload", metavar="NAME", action="append", default=[], help=says)


def add_providers(command: argparse.ArgumentParser, default: str) -> None:
    """--provider and --operation; the default is of the first, in words."""
    says = f"only this one ({default}); one of {', '.join(PROVIDERS)}"
    command.add_argument("--provider", metavar="NAME", action="append", default=[], help=says)
    says = f"what is done ({NAMES[0]}); one of {', '.join(NAMES)}"
    command.add_argument("--operation", metavar="NAME", action="append", default=[], help=says)


def add_place(command: argparse.ArgumentParser) -> None:
    """--device and --scale."""
    default = "cuda" if torch.cuda.is_available() else "cpu"
    command.add_argument("--device", default=default, help=f"cuda, cuda:1, or cpu for a rehearsal ({default})")
    says = "so many times fewer rows and lookups, for a rehearsal (1)"
    command.add_argument("--scale", type=least(float, 1), default=1.0, metavar="FACTOR", help=says)


def add_timing(command: argparse.ArgumentParser, each: str) -> None:
    """--json, --rounds and --budget, of which each of these has a share."""
    command.add_argument("--json", type=Path, metavar="FILE", help="writes everything there, after every workload")
    says = f"samples of each, at most ({ROUNDS})"
    command.add_argument("--rounds", type=least(int, 1), default=ROUNDS, metavar="N", help=says)
    says = f"for all; what is left when it is spent is skipped ({SHARE:g} for each {each})"
    command.add_argument("--budget", type=least(float, 0), metavar="SECONDS", help=says)


def least(kind: type, lowest: int) -> Callable[[str], Any]:
    """Reads a number of a kind, of at least that."""

    def read(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not lowest <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least {lowest}")
        return value

    return read

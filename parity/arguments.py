"""The arguments of the command line."""

import argparse
import os
from pathlib import Path
from typing import Any

from .cases import GROUPS
from .instruments import INSTRUMENTS
from .peers import PEERS
from .runner import BATCH

TIMEOUT = 300.0
FUZZ = 500  # random configurations of a run that chooses no cases

DESCRIPTION = "What it takes to replace torch.nn.Embedding, as cases that any implementation can be judged by."
EPILOG = """\
An implementation is one of {peers}, or package.module:Class, package.module:function, or both with a comma between.
Exit status: 0 nothing failed and something passed (what an implementation does not offer is listed, and is no failure),
1 something failed or crashed, or nothing passed, 2 wrong usage, 130 interrupted. Set TRITON_INTERPRET=1 to run Triton
kernels on a machine without a GPU.
""".format(peers=", ".join(PEERS))


def parser() -> argparse.ArgumentParser:
    """The arguments of the four commands."""
    top = argparse.ArgumentParser(prog="python -m tembed.parity", description=DESCRIPTION, epilog=EPILOG)
    commands = top.add_subparsers(dest="command", required=True)
    judged = _judged()
    commands.add_parser("list", parents=[_chosen(GROUPS)], help="the cases and what they say")
    one = commands.add_parser("run", parents=[judged], help="judges one implementation", epilog=EPILOG)
    one.add_argument("--impl", default=None, metavar="SPEC", help="the implementation; a module class, say")
    one.add_argument("--functional", default=None, metavar="SPEC", help="its function: package.module:function")
    several = commands.add_parser("compare", parents=[judged], help="puts several side by side", epilog=EPILOG)
    bad = commands.add_parser("bad-inputs", help="every bad input that has a row, for tembed")
    where = bad.add_mutually_exclusive_group()
    where.add_argument("--write", action="store_true", help="on the reference and the kernels, into parity/results")
    where.add_argument("--json", type=Path, metavar="FILE", help="writes what was found there")
    several.add_argument("impls", nargs="+", metavar="SPEC", help="the implementations; or a --json file of earlier")
    return top


def _chosen(groups: tuple[str, ...]) -> argparse.ArgumentParser:
    chosen = argparse.ArgumentParser(add_help=False)
    also = "; fuzz: only random configurations" if "fuzz" in groups else ""
    chosen.add_argument("--group", choices=groups, help=f"only this group{also}")
    chosen.add_argument("--without", choices=GROUPS, action="append", default=[], help="not this group")
    says = "only cases of this name, or of one of several; * and ? stand for others"
    chosen.add_argument("--case", metavar="NAME", action="append", default=[], help=says)
    chosen.add_argument("--json", type=Path, metavar="FILE", help="writes everything there")
    return chosen


def _judged() -> argparse.ArgumentParser:
    judged = argparse.ArgumentParser(add_help=False, parents=[_chosen((*GROUPS, "fuzz"))])
    judged.add_argument("--device", default="cpu", help="where the tables are (cpu)")
    says = f"random configurations besides (0 where --case or --group chooses, {FUZZ} otherwise)"
    judged.add_argument("--fuzz", type=_count(0), metavar="N", help=says)
    says = f"random configurations of one seed, which one process draws ({BATCH})"
    judged.add_argument("--batch", type=_count(1), default=BATCH, metavar="N", help=says)
    judged.add_argument("--seed", type=int, default=0, metavar="S", help="of the random configurations (0)")
    judged.add_argument("--under", action="append", default=[], choices=sorted(INSTRUMENTS), help="an instrument")
    judged.add_argument("--report", type=Path, metavar="FILE.html", help="writes a page to open in a browser")
    judged.add_argument("--jobs", type=_count(1), default=os.cpu_count() or 1, help="processes at once")
    says = f"seconds for one case ({TIMEOUT:g})"
    judged.add_argument("--timeout", type=_seconds, default=TIMEOUT, metavar="S", help=says)
    return judged


def _count(least: int) -> Any:
    def read(text: str) -> int:
        if not text.strip().lstrip("+-").isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return read


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds

"""Bytes that the kernels really load and store, counted in Triton's interpreter, against the least that could be.

    python -m tembed.bench traffic [--write]

Every workload, scaled down: rows and lookups by one factor, with as many columns; and the gradients of one workload of
each kind. Needs no GPU. Exit status 1 where more is moved than operations.py and gradient_moved.py allow, or a gradient
takes more memory than memory.py does.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import Any

from tembed import kernels
from tembed.bench import gradient_moved, gradient_table
from tembed.bench.again import run_again
from tembed.bench.environment import environment
from tembed.bench.moved import faults, measure
from tembed.bench.operations import operation_of, problem
from tembed.bench.outputs import add_outputs, write
from tembed.bench.tables import table
from tembed.bench.workloads import SUITES, Workload, select
from tembed.parity.printing import Progress

# Elements that are looked up, and the fewest and the most lookups: many programs each, a minute for all.
ELEMENTS = 1 << 17
FEWEST, MOST = 32, 1024
HEAD = (
    "workload, before it is scaled", "operation", "N", "U", "V", "D", "bytes",
    "/ floor", "/ floor, rows once", "/ gather's floor", "/ gather",
)  # fmt: skip
ABOUT = """\
# Bytes moved

What the kernels load and store, counted in Triton's interpreter. Of each workload as many columns and a part of the
rows and of the lookups. By `{command}`.

- *floor*: indices, rows of the table and of the output, with nothing cached: a row moves as often as it is looked up.
  For rows that were over max_norm, each unique one once more, back to the table.
- *floor, rows once*: the same with each row of the table read once, as if a cache held them all.
- *gather's floor*, *gather*: for max_norm, what a gather of the same lookups would move at least, and does move.

{counts}

## Lookups

"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--suite", choices=SUITES, action="append", default=[], help="only this suite")
    says = "only workloads of this name; * and ? stand for others"
    parser.add_argument("--workload", metavar="NAME", action="append", default=[], help=says)
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the indices (0)")
    add_outputs(parser, "traffic")


def command(arguments: argparse.Namespace) -> int:
    """Prints a line for each workload; 1 if one moves more than it may."""
    if not kernels.interpreted():
        return run_again(interpret=True)
    chosen = select(arguments.suite, arguments.workload)
    groups, kinds = scaled(chosen), gradient_table.kinds(chosen)
    rows: list[dict[str, Any]] = []
    gradients: list[dict[str, Any]] = []
    broken: list[str] = []
    with Progress("traffic", len(groups) + len(kinds), "workload") as progress:
        for workload, names in groups.items():
            moved = measure(operation_of(workload), *problem(workload, arguments.seed))
            rows.append(_about(workload, names) | moved.data())
            broken += (f"{names[0]}: {fault}" for fault in faults(moved))
            progress.step()
        for workload, lookups, names in kinds:
            for its in gradient_table.measured(workload, lookups, arguments.seed):
                gradients.append(_about(workload, names) | its.data())
                broken += (f"{names[0]}: {fault}" for fault in gradient_moved.faults(its))
            progress.step()
    counts = (
        f"{len(rows)} workloads and {len(gradients)} gradients, {len(broken)} of which move or take more than they may."
    )
    tables = (
        table(HEAD, map(_line, rows), left=2),
        table(gradient_table.HEAD, map(gradient_table.line, gradients), left=3),
    )
    print(*tables, *broken, counts, sep="\n")
    about = environment("cpu")
    data = {"environment": about, "seed": arguments.seed, "rows": rows, "gradients": gradients, "broken": broken}
    text = ABOUT.format(command=about["command"], counts=counts) + f"\n{gradient_table.ABOUT}".join(tables)
    write(arguments, json.dumps(data, indent=1) + "\n", text)
    return 1 if broken or not rows else 0


def _about(workload: Workload, names: list[str]) -> dict[str, Any]:
    return {"workloads": names, "dtype": workload.dtype, "distribution": workload.distribution}


def scaled(workloads: list[Workload]) -> dict[Workload, list[str]]:
    """The workloads with fewer rows and lookups, each once, with the names of those that it stands for."""
    found: dict[tuple[object, ...], tuple[Workload, list[str]]] = {}
    for workload in workloads:
        N = min(MOST, max(FEWEST, ELEMENTS // workload.D))
        small = workload.scaled(max(1.0, workload.N / N))
        key = (operation_of(small), small.V, small.D, small.N, small.dtype, small.distribution)
        found.setdefault(key, (small, []))[1].append(workload.name)
    return dict(found.values())


def _line(row: dict[str, Any]) -> Iterator[str]:
    first, *others = row["workloads"]
    yield first + (f" and {len(others)} more" if others else "")
    yield row["operation"]
    for name in ("N", "U", "V", "D", "total"):
        yield f"{row[name]:,}"
    compared = ("to_gather_floor", "to_compared") if row["against"] != "floor" else ()
    for name in ("to_floor", "to_floor_once", *compared):
        yield f"{row['ratios'][name]:.3f}"
    yield from [""] * (2 - len(compared))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    sys.exit(command(parser.parse_args()))

"""What the compiler makes of each kernel, for any target and without a GPU: registers, spills, access widths.

    python -m tembed.bench static [--write]
    python -m tembed.bench.static cuda:90 hip:gfx942

prints one JSON object a line, the first of the environment; or, where files are written, tables. Exit status 1 where a
kernel spills, divides integers on its way to a row, or reads or writes rows of whole 16 bytes in smaller pieces.
"""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from tembed import kernels
from tembed.bench.again import run_again
from tembed.bench.assembly import report
from tembed.bench.environment import environment
from tembed.bench.outputs import add_outputs, write
from tembed.bench.static_tables import faults, markdown
from tembed.bench.variants import DTYPES, build, tile_lengths, variants

TARGETS = ("cuda:80", "cuda:90", "cuda:100", "cuda:120", "hip:gfx90a", "hip:gfx942", "hip:gfx950")
THOROUGH = "cuda:90"  # for which every tile is compiled; for the others, these lengths
LENGTHS = (24, 4096)

Job = tuple[str, str, int, str]  # target, dtype, D, kernel


def chosen(target: str, dtypes: list[str], lengths: list[int], patterns: list[str]) -> Iterator[Job]:
    """Each kernel once that tables of these dtypes and row lengths launch; without lengths, at `tile_lengths`."""
    seen = set()
    for dtype in dtypes:
        ends = {} if lengths else tile_lengths(target, dtype)
        for D in lengths or sorted(set().union(*ends.values())):
            for name, _, constants in variants(target, dtype, D):
                wanted = not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
                # kernels of keys depend on neither
                key = (name, dtype, D) if "D" in constants else name
                if wanted and (lengths or D in ends[name]) and key not in seen:
                    seen.add(key)
                    yield target, dtype, D, name


def compile_one(job: Job, disassemble: bool = True) -> dict[str, Any]:
    """The report on one kernel."""
    target, dtype, D, wanted = job
    kernel, constants = next(found[1:] for found in variants(target, dtype, D) if found[0] == wanted)
    tile = {
        "rows": constants.get("BLOCK_N", constants.get("BLOCK_C")),
        "columns": constants.get("BLOCK_D"),
        "warps": constants["num_warps"],
    }
    found = report(build(kernel, constants, dtype, target), disassemble)
    return {"target": target, "dtype": dtype, "D": D, "kernel": wanted, **tile, **found}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)} (all)")
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    says = f"row lengths; 0: the shortest and the longest of every tile (0 for {THOROUGH}, {LENGTHS} for others)"
    parser.add_argument("--lengths", nargs="+", type=int, metavar="D", help=says)
    says = "only kernels of this name; * and ? stand for others"
    parser.add_argument("--kernels", nargs="+", metavar="NAME", default=[], help=says)
    says = "without a look at the machine's instructions: in a third of the time"
    parser.add_argument("--without-sass", action="store_true", help=says)
    parser.add_argument("--jobs", type=int, metavar="N", default=os.cpu_count() or 1, help="processes at once")
    add_outputs(parser, "static", ".jsonl")


def command(arguments: argparse.Namespace) -> int:
    """Prints a line for each target, dtype, row length and kernel, or writes files; 1 if one is not as it should be."""
    if kernels.interpreted():
        return run_again(interpret=False)
    jobs: list[Job] = []
    for target in arguments.targets or TARGETS:
        lengths = arguments.lengths or ([0] if target == THOROUGH else LENGTHS)
        jobs += chosen(target, arguments.dtypes, [D for D in lengths if D], arguments.kernels)
    to_files = arguments.write or arguments.json or arguments.markdown
    about = {"environment": environment("cpu")}
    lines = [json.dumps(about)]
    if not to_files:
        print(lines[0], flush=True)
    reports = []
    for found in _in_processes(jobs, arguments.jobs, not arguments.without_sass):
        reports.append(found)
        lines.append(json.dumps(found))
        if not to_files:
            print(lines[-1], flush=True)
    broken = [fault for found in reports for fault in faults(found)]
    counts = f"{len(reports)} kernels, {len(broken)} faults."
    text = markdown(reports, THOROUGH)
    head = f"# What the compiler makes of the kernels\n\n{counts} By `{about['environment']['command']}`.\n\n"
    write(arguments, "".join(line + "\n" for line in lines), head + text)
    if to_files:
        print(text)
    print(*broken, counts, sep="\n", file=sys.stdout if to_files else sys.stderr)
    return 1 if broken or not reports else 0


def _in_processes(jobs: list[Job], processes: int, disassemble: bool) -> Iterator[dict[str, Any]]:
    """The reports, in the order of the jobs."""
    one = partial(compile_one, disassemble=disassemble)
    if processes <= 1:
        yield from map(one, jobs)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(one, jobs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    sys.exit(command(parser.parse_args()))

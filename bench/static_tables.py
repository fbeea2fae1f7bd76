"""What reports on compiled kernels must say, and tables of what they do."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from .tables import table
from .variants import DTYPES

Report = dict[str, Any]

ACCESS_BYTES = 16
# Kernels that copy rows, and the pointers to those; what is narrower elsewhere is an index, a key or a length.
COPIES = {
    "gather": ("weight_ptr", "out_ptr"),
    "renorm p=2.0": ("weight_ptr", "out_ptr"),
    "write back": ("weight_ptr", "out_ptr"),
    "sum scale=False": ("grad_ptr", "out_ptr", "partial_ptr"),
    "merge scale=False": ("partial_ptr",),
}
# In which nothing may stand between a program and its rows that takes as long as an integer division.
UNDIVIDED = ("gather", "renorm", "write back")
HEAD = ("kernel", "dtype", "D", "rows x columns", "warps", "registers", "shared bytes", "loads, bits", "stores, bits")


def faults(report: Report) -> Iterator[str]:
    """What is wrong with a kernel, one sentence each."""
    name = report["kernel"]
    where = "{target} {dtype} D={D} {kernel}: ".format(**report)
    for what in ("spills", "atomics"):
        if report[what]:
            yield f"{where}{report[what]} {what}"
    if report.get("approximations") and name != "renorm p=any":  # which goes by way of exp2 and log2
        yield f"{where}{report['approximations']} approximate operations"
    if report["divisions"] and name.startswith(UNDIVIDED):
        yield f"{where}{report['divisions']} integer divisions"
    yield from (where + fault for fault in _disagreements(report))
    if name in COPIES and report["D"] * DTYPES[report["dtype"]] % ACCESS_BYTES == 0:
        yield from (where + fault for fault in _narrow(report, COPIES[name]))


def _narrow(report: Report, pointers: tuple[str, ...]) -> Iterator[str]:
    """What says that rows are not moved 16 bytes at a time."""
    wide = str(8 * ACCESS_BYTES)
    arguments = report.get("arguments", {})
    pointers = (*pointers, "?")  # an address that threads handed each other, which only those of rows are
    for name in arguments.keys() & {*pointers}:
        for kind, widths in arguments[name].items():
            if widths.keys() != {wide}:
                yield f"{kind}s of {name} {_widths(widths)} bits wide"
    for kind in ("loads", "stores"):
        if kind in report and (wide not in report[kind] or {"8", "16"} & report[kind].keys()):
            yield f"{kind} {_widths(report[kind])} bits wide"
    for kind in ("load", "store"):
        if arguments and not any(kind in arguments.get(name, {}) for name in pointers):
            yield f"no {kind} of a row is found"


def _disagreements(report: Report) -> Iterator[str]:
    """What says that the machine's instructions are not as wide as those of PTX, where there are both."""
    for kind in ("load", "store") if "arguments" in report and "loads" in report else ():
        ptx = dict.fromkeys(width for kinds in report["arguments"].values() for width in kinds.get(kind, {}))
        if ptx.keys() != report[f"{kind}s"].keys():
            yield f"{kind}s {_widths(report[f'{kind}s'])} bits wide, in PTX {_widths(ptx)}"


def markdown(reports: list[Report], thorough: str) -> str:
    """A table with a line for each tile on one target, and one of registers and spills on the others."""
    tiles: dict[tuple[object, ...], list[Report]] = {}
    for report in reports:
        if report["target"] == thorough:
            key = *(report[name] for name in ("kernel", "dtype", "rows", "columns", "warps")), _copies(report)
            tiles.setdefault(key, []).append(report)
    text = ""
    if tiles:
        lines = sorted(map(_line, tiles.values()), key=lambda line: line[0])
        text += f"## {thorough}\n\n{table(HEAD, lines, left=3)}\n"
    others = [report for report in reports if report["target"] != thorough]
    if others:
        text += f"## Other targets: the most registers\n\n{_registers(others)}"
    return text


def _copies(report: Report) -> bool:
    """Whether rows are of whole 16 bytes."""
    return bool(report["D"] * DTYPES[report["dtype"]] % ACCESS_BYTES == 0)


def _line(tile: list[Report]) -> list[str]:
    first = tile[0]
    lengths = sorted(report["D"] for report in tile)
    spills = sum(report["spills"] for report in tile)
    shape = "" if first["columns"] is None else f"{first['rows']:,} x {first['columns']:,}"
    return [
        first["kernel"],
        first["dtype"],
        "" if first["columns"] is None else ", ".join(map(str, lengths)),
        shape,
        str(first["warps"]),
        str(max(report["registers"] for report in tile)) + (f", {spills} spilled" if spills else ""),
        f"{max(report['shared'] for report in tile):,}",
        _moves(tile, "load"),
        _moves(tile, "store"),
    ]


def _moves(tile: list[Report], kind: str) -> str:
    """The widths of the accesses, argument by argument."""
    found: dict[str, Counter[str]] = {}
    for report in tile:
        for name, kinds in report["arguments"].items():
            if kind in kinds:
                found.setdefault(name.removesuffix("_ptr"), Counter()).update(kinds[kind])
    return ", ".join(f"{name} {_widths(widths)}" for name, widths in found.items())


def _widths(widths: Iterable[str]) -> str:
    return "/".join(sorted(widths, key=int)) or "0"


def _registers(reports: list[Report]) -> str:
    targets = list(dict.fromkeys(report["target"] for report in reports))
    most: dict[str, dict[str, int]] = {}
    for report in reports:
        cells = most.setdefault(report["kernel"], dict.fromkeys(targets, 0))
        cells[report["target"]] = max(cells[report["target"]], report["registers"])
    spills = Counter[str]()
    for report in reports:
        spills[report["target"]] += report["spills"]
    lines = [[name, *map(str, cells.values())] for name, cells in most.items()]
    return table(("kernel", *targets), [*lines, ["spills, all kernels", *(str(spills[t]) for t in targets)]])

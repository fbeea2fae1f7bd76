"""The targets against what files of runs and calls have measured: met, missed, or not measured, and what decides it.

    python -m tembed.bench targets FILE.json ... [--markdown FILE.md]

takes what `run --json` and `call --json` wrote. Exit status 0, whatever is met; 2 wrong usage.
"""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tembed.parity.checks import check_file
from tembed.parity.printing import to_reader

from .documents import failures
from .summary import geometric_mean
from .tables import table
from .targets_numbers import ABOUT, read
from .targets_table import DIGITS, INFORMATION, LOOK, PREDICTED, TARGET, TARGETS, Target

Data = dict[str, Any]
Files = dict[str, Data]  # documents by the names of their files

HEAD = ("what", "outcome", "wanted", "measured", "of how many", "worst")
NOT_MEASURED = "not measured"
READING = f"""\
- time: the device's, median of the ratios of one round; mean: geometric; left out: timed by two methods, not compared
- of the copy bandwidth: the least bytes, over the time
- the look at indices: a launch, {LOOK[0] * 1e6:g} us, and {LOOK[1]} bytes a lookup
- worst: what is furthest off, and its file; a workload that is in several files counts once, by the worst
- numbers are judged as they are printed"""


def judged(target: Target, files: Files) -> tuple[str, ...]:
    """The target's line of the table."""
    sign = -1 if target.least else 1
    found: dict[str, tuple[float, str]] = {}
    left_out = 0
    for file, document in files.items():
        for name, number in target.pick(document):
            if number is None:
                left_out += 1
            elif name not in found or sign * number > sign * found[name][0]:
                found[name] = number, file
    wanted = f"{'at least' if target.least else 'at most'} {target.limit:g}{target.unit}"
    among = [f"{left_out} left out"] if left_out else []
    if not found:
        return target.says, NOT_MEASURED, wanted, "", *(among or [""]), ""
    numbers = [number for number, _ in found.values()]
    worst = max(found, key=lambda name: sign * found[name][0])
    value = (geometric_mean(numbers) or 0.0) if target.mean else found[worst][0]
    over = _beyond(target, value)
    number_met = sum(_beyond(target, number) <= 0 for number in numbers)
    among = [str(len(numbers)) if target.mean else f"{number_met} of {len(numbers)} met", *among]
    outcome = f"missed by {_shown(target, over)}" if over > 0 else "met"
    return target.says, outcome, wanted, _shown(target, value), ", ".join(among), f"{worst} ({found[worst][1]})"


def _beyond(target: Target, number: float) -> float:
    """How far a number, as it is printed, is beyond the limit."""
    off = round(number, DIGITS[target.unit]) - target.limit
    return round(-off if target.least else off, DIGITS[target.unit])


def _shown(target: Target, number: float) -> str:
    return f"{number:.{DIGITS[target.unit]}f}{target.unit}"


def report(files: Files) -> str:
    """All that is printed, as Markdown."""
    rehearsed = {name: [*_rehearsed(document)] for name, document in files.items()}
    title = "A rehearsal: these numbers mean nothing" if any(rehearsed.values()) else "Targets, and what was measured"
    abouts = {name: [str(document["environment"][key]) for key in ABOUT] for name, document in files.items()}
    lines = [(name, *about, ", ".join([*rehearsed[name], *_notes(files[name])])) for name, about in abouts.items()]
    parts = [f"# {title}", table(("file", *ABOUT, "notes"), lines, left=len(ABOUT) + 2)]
    columns = [(key, dict.fromkeys(about[k] for about in abouts.values())) for k, key in enumerate(ABOUT)]
    parts.append("\n".join(f"- {key} differs: {' and '.join(its)}" for key, its in columns if len(its) > 1))
    for kind in (TARGET, PREDICTED, INFORMATION):
        found = [judged(target, files) for target in TARGETS if target.kind == kind]
        counts = Counter(line[1].partition(" by ")[0] for line in found)
        says = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("met", "missed", NOT_MEASURED))
        parts += [f"## {kind}: {says}", table(HEAD, found, left=len(HEAD))]
    parts.append(READING)
    if failed := [f"- {name}: {line}" for name, document in files.items() for line in failures(document)]:
        parts += ["Failed, so there are no numbers:", "\n".join(failed)]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _rehearsed(document: Data) -> Iterator[str]:
    """What makes a run, or calls, a rehearsal."""
    if document["device"] == "cpu":
        yield "on a CPU"
    if document["scale"] != 1:
        yield f"sizes divided by {document['scale']:g}"


def _notes(document: Data) -> Iterator[str]:
    """What else keeps a file from saying everything."""
    if document.get("interrupted"):
        yield "interrupted"
    rows = document["workloads"]
    if skipped := sum("skipped" in row for row in rows):
        yield f"{skipped} of {len(rows)} skipped"
    if failed := len(failures(document)):
        yield f"{failed} failed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json", help="of run --json, or of call --json")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="writes it there too")


def command(args: argparse.Namespace) -> int:
    """Prints the tables, and writes them when asked."""
    names = [path.name for path in args.files]
    files = {str(path) if names.count(path.name) > 1 else path.name: read(path) for path in args.files}
    check_file("--markdown", args.markdown)
    text = report(files)
    if args.markdown:
        args.markdown.write_text(text)
    with to_reader():
        print(text, end="")
    return 0

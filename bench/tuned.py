"""What a document of `tune` says: for each area how variations compare with the present table, and which beat it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from . import candidates
from .documents import failures, label
from .summary import geometric_mean, summary
from .tables import table

Data = dict[str, Any]

BASE, CONTROL = candidates.BASE.name, candidates.CONTROL
HEAD = ("variation", "operation", "expected", "/ present (of how many)", "best", "worst")
BETTER = ("workload", "variation", "/ present (quartiles)", "control (quartiles)")
READING = """\
/ present: geometric mean over workloads of the median ratio to the present table, sample by sample of one round.
best, worst: the least and the largest of the medians. control: the present table under another name; as far as it is
off 1, others may be for no reason."""
BEATS = """\
The best variation of each workload, if it beats the present table by more than the spread: if both quartiles of its
ratios are below 1, and their median is below both quartiles of the control's."""


def compared(document: Data) -> list[Data]:
    """For each area, workload, operation and variation with samples: median and quartiles of the ratio.

    None of what was not timed by the method that the present table was.
    """
    found = []
    for row in document["workloads"]:
        providers = row.get("providers", {})
        base = providers.get(BASE, {})
        for name, its in providers.items():
            if name != BASE and "samples_s" in its and its["method"] == base.get("method"):
                ratio = summary(its["samples_s"], base["samples_s"])
                about = {key: row[key] for key in ("area", "workload", "operation")}
                found.append({**about, "variation": name, **{k: ratio[k] for k in ("ratio", "ratio_quartiles")}})
    return found


def better(rows: list[Data]) -> list[Data]:
    """Of each area, workload and operation the variation of the least ratio, if it is less by more than the spread.

    If its quartiles are below 1, and its ratio is below the control's quartiles.
    """
    limits = {_key(row): min(row["ratio_quartiles"]) for row in rows if row["variation"] == CONTROL}
    least: dict[tuple[str, str, str], Data] = {}
    for row in rows:
        key = _key(row)
        beats = max(row["ratio_quartiles"]) < 1 and row["ratio"] < limits.get(key, 1)
        if row["variation"] != CONTROL and beats and (key not in least or row["ratio"] < least[key]["ratio"]):
            least[key] = row
    return [*least.values()]


def _key(row: Data) -> tuple[str, str, str]:
    return row["area"], row["workload"], row["operation"]


def report(document: Data) -> str:
    """What `tune` prints."""
    about, rows = document["environment"], compared(document)
    parts = [f"{document['title']}\ntorch {about['torch']}, {about['kernels']}, commit {about['commit']}"]
    for area in dict.fromkeys(row["area"] for row in rows):
        mine = [row for row in rows if row["area"] == area]
        parts.append(f"{area}:\n" + table(HEAD, _lines(mine, document["providers"]), left=3).rstrip())
        if lines := [*_winners(mine)]:
            parts[-1] += "\n\n" + table(BETTER, lines, left=2).rstrip()
    parts += [f"{READING}\n{BEATS}"] if rows else ["nothing has times"]
    reasons = Counter(f"{row['area']}: {row['skipped']}" for row in document["workloads"] if "skipped" in row)
    if skipped := [f"  {reason} ({number})" for reason, number in reasons.items()]:
        parts.append("skipped (workloads and operations):\n" + "\n".join(skipped))
    if failed := failures(document):
        parts.append("failed, so there are no numbers:\n" + "\n".join(f"  {line}" for line in failed))
    if document["interrupted"]:
        parts.append("interrupted: this is what there was by then")
    return "\n\n".join(parts)


def _lines(rows: list[Data], says: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """A line for each variation and operation."""
    for name in dict.fromkeys(row["variation"] for row in rows):
        for operation in dict.fromkeys(row["operation"] for row in rows):
            its = [row for row in rows if row["variation"] == name and row["operation"] == operation]
            if not its:
                continue
            mean = geometric_mean(row["ratio"] for row in its)
            low, high = (pick(its, key=lambda row: row["ratio"]) for pick in (min, max))
            ends = (f"{row['ratio']:.3f} {row['workload']}" for row in (low, high))
            yield name, operation, says[name], f"{mean:.3f} ({len(its)})", *ends


def _winners(rows: list[Data]) -> Iterator[tuple[str, ...]]:
    for row in better(rows):
        same = [x for x in rows if (x["workload"], x["operation"]) == (row["workload"], row["operation"])]
        control = next((_ratio(x) for x in same if x["variation"] == CONTROL), "")
        yield label(row["workload"], row), row["variation"], _ratio(row), control


def _ratio(row: Data) -> str:
    low, high = row["ratio_quartiles"]
    return f"{row['ratio']:.3f} ({low:.3f} to {high:.3f})"

"""What a person reads: the workloads, the times and the geometric means of their ratios."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from .documents import FORWARD, by_operation, failures, label
from .providers import STOCK
from .summary import geometric_mean
from .tables import table
from .workloads import SUITES, Workload

Data = dict[str, Any]

HEAD = ("workload", "provider", "us", "/ stock (quartiles)", "GB/s", "% of copy", "peak MB", "timed by")
BEYOND = "beyond MB"
READING = """\
us: median. / stock: median of the ratios of one round, where both were timed by one method.
GB/s: {moved},
over the median.
% of copy: of what copies reach here, bytes read and written; it flatters outputs not much larger than the L2, which may
hold some when the clock stops. peak: allocated during a call, output included{beyond}."""
GRADIENT = "each row of the output's gradient and of the table's"
MOVED = {
    FORWARD: "indices, each row that is looked up once, output (and rows over max_norm, written back)",
    "backward": GRADIENT,
    "forward+backward": f"the forward's, and {GRADIENT}",
    "sparse backward": "each row of the output's gradient, and each that is looked up of the table's",
}
STEP = "the forward's and the sparse backward's, the gradient read, rows of table and state read and written"


def listing(workloads: list[Workload]) -> str:
    """The workloads with the size of the table and the bytes that a lookup moves if no row is in a cache."""
    lines = [
        (w.name, f"{w.V * w.D * w.itemsize / 1e6:,.1f}", f"{w.bytes() / 1e6:,.1f}") for w in workloads
    ]  # fmt: skip
    quick = sum(w in SUITES["quick"] for w in workloads)
    total = sum(w.bytes() for w in workloads)
    last = f"{len(workloads)} workloads, {quick} of them in the suite quick; {total / 1e9:.1f} GB for one call of each"
    return f"{table(('workload', 'table MB', 'moved MB'), lines)}\n{last}"


def outcome(document: Data) -> str:
    """Everything that came out."""
    parts = [f"{document['title']}\n{_versions(document)}"]
    if document["floor"]:
        copied, floor = document["copy"]["bytes_per_s"], document["floor"]
        copies = f"copies reach {copied / 1e9:,.0f} GB/s, " if copied else ""
        parts.append(f"{copies}an empty call takes {floor['median_s'] * 1e6:.2f} us by {floor['method']}")
    for name, its in by_operation(document).items():
        beyond = any("beyond_bytes" in x for row in its["workloads"] for x in row.get("providers", {}).values())
        if lines := [*_lines(its, beyond)]:
            head = (*HEAD, BEYOND) if beyond else HEAD
            says = "; beyond: without the gradient" if beyond else ""
            text = table(head, lines, left=2) + READING.format(moved=MOVED.get(name, STEP), beyond=says)
            parts += [text if name == FORWARD else f"{name}:\n{text}", _means(its), _unsupported(its)]
    rows = [row for row in document["workloads"] if "skipped" in row]
    if skipped := [f"  {label(row['workload'], row)}: {row['skipped']}" for row in rows]:
        parts.append("skipped:\n" + "\n".join(skipped))
    if failed := failures(document):
        parts.append("failed, so there are no numbers:\n" + "\n".join(f"  {line}" for line in failed))
    if document["interrupted"]:
        parts.append("interrupted: this is what there was by then")
    return "\n\n".join(part for part in parts if part)


def _versions(document: Data) -> str:
    about = document["environment"]
    return f"torch {about['torch']}, {about['kernels']}, commit {about['commit']}"


def _lines(document: Data, beyond: bool) -> Iterator[tuple[str, ...]]:
    for row in document["workloads"]:
        name = row["workload"]
        for provider, its in row.get("providers", {}).items():
            if "unsupported" in its:
                continue
            more = [f"{its['beyond_bytes'] / 1e6:,.1f}" if "beyond_bytes" in its else ""] if beyond else []
            yield (name, provider, *_cells(its), *more)
            name = ""


def _cells(its: Data) -> tuple[str, ...]:
    if "samples_s" not in its:
        return ("", "FAILED", "", "", "", "")
    low, high = its["ratio_quartiles"] or (None, None)
    return (
        f"{its['median_s'] * 1e6:,.2f}",
        "" if low is None else f"{its['ratio']:.3f} ({low:.3f} to {high:.3f})",
        f"{its['bytes_per_s'] / 1e9:,.1f}",
        f"{its['of_copy']:.0%}" if its["of_copy"] else "",
        "" if its["peak_bytes"] is None else f"{its['peak_bytes'] / 1e6:,.1f}",
        its["method"],
    )


def _unsupported(document: Data) -> str:
    """Who took no part, why, and at how many workloads."""
    reasons = Counter(
        f"{provider}: {its['unsupported']}"
        for row in document["workloads"]
        for provider, its in row.get("providers", {}).items()
        if "unsupported" in its
    )
    lines = (f"  {reason} ({number})" for reason, number in reasons.items())
    return "\n".join(["unsupported (at how many workloads):", *lines]) if reasons else ""


def mean_ratios(document: Data) -> dict[str, dict[str, tuple[float | None, int]]]:
    """By suite, and for "all", by provider: the geometric mean of the ratios to stock, and of how many."""
    found: dict[str, dict[str, list[float]]] = {}
    for row in document["workloads"]:
        for name, its in row.get("providers", {}).items():
            for suite in (row["suite"], "all"):
                ratios = found.setdefault(suite, {}).setdefault(name, [])
                if its.get("ratio"):
                    ratios.append(its["ratio"])
    all_last = sorted(found, key=lambda suite: suite == "all")
    return {s: {name: (geometric_mean(r), len(r)) for name, r in found[s].items()} for s in all_last}


def _means(document: Data) -> str:
    means = mean_ratios(document)
    names = [name for name, (mean, _) in means.get("all", {}).items() if mean is not None and name != STOCK]
    if not names:
        return ""

    def cell(suite: str, name: str) -> str:
        mean, number = means[suite].get(name, (None, 0))
        return "" if mean is None else f"{mean:.3f} ({number})"

    lines = [(suite, *(cell(suite, name) for name in names)) for suite in means]
    return "Geometric means of the ratios to stock (of how many):\n" + table(("suite", *names), lines).rstrip()

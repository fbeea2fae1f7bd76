"""Two documents of runs side by side: what became slower, what faster, and where that is more than the samples' spread.

A workload's two times come from two runs: unlike ratios to stock, they also differ by what else the machines did.
"""

from typing import Any

from .documents import label, timed
from .summary import geometric_mean
from .tables import table

Data = dict[str, Any]

HEAD = ("workload", "provider", "A us", "B us", "B / A", "")


def differences(a: Data, b: Data) -> list[str]:
    """What besides the code differs between two runs."""
    found = [("device", a["environment"]["device"], b["environment"]["device"])]
    found += [("scale", a["scale"], b["scale"])]
    keys = ("driver", "torch", "cuda", "kernels", "python", "threads")
    found += [(key, a["environment"].get(key), b["environment"].get(key)) for key in keys]
    return [f"{what} differs: {x} and {y}" for what, x, y in found if x != y]


def comparison(a: Data, b: Data) -> list[Data]:
    """For each workload, operation and provider with numbers in both: the ratio of the medians.

    `apart`: the quartiles of the two do not overlap.
    """
    before, after = timed(a), timed(b)
    rows = []
    for key in (key for key in before if key in after):
        (low_a, high_a), (low_b, high_b) = before[key]["quartiles_s"], after[key]["quartiles_s"]
        rows.append(
            {
                "key": key,
                "a_s": before[key]["median_s"],
                "b_s": after[key]["median_s"],
                "ratio": after[key]["median_s"] / before[key]["median_s"],
                "apart": low_b > high_a or low_a > high_b,
            }
        )
    return rows


def means(rows: list[Data]) -> dict[str, float]:
    """Of each provider, and each operation, the geometric mean of its ratios."""
    by_name: dict[str, list[float]] = {}
    for row in rows:
        by_name.setdefault(_named(row, 2), []).append(row["ratio"])
    return {name: geometric_mean(ratios) or 1.0 for name, ratios in by_name.items()}


def _named(row: Data, k: int) -> str:
    return label(row["key"][k], {"operation": row["key"][1]})


def report(a: Data, b: Data) -> str:
    """What `compare` prints."""
    rows = comparison(a, b)
    only = [(name, timed(x).keys() - timed(y).keys()) for name, x, y in (("A", a, b), ("B", b, a))]
    parts = []
    for name, document in (("A", a), ("B", b)):
        about = document["environment"]
        parts.append(f"{name}: {document['title']}, commit {about['commit']}")
    parts += [f"   {line}" for line in differences(a, b)]
    lines = []
    for row in rows:
        mark = ("slower" if row["ratio"] > 1 else "faster") if row["apart"] else ""
        times = (f"{row['a_s'] * 1e6:,.2f}", f"{row['b_s'] * 1e6:,.2f}", f"{row['ratio']:.3f}")
        lines.append((_named(row, 0), row["key"][2], *times, mark))
    if lines:
        parts += ["", table(HEAD, lines, left=2), "slower, faster: the quartiles do not overlap"]
        parts += [f"geometric mean of {name}: {mean:.3f}" for name, mean in means(rows).items()]
    else:
        parts.append("nothing has times in both")
    parts += [f"{len(keys)} times only in {name}" for name, keys in only if keys]
    return "\n".join(parts)

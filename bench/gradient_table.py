"""The gradients of `traffic`: which are counted, and their table."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Generator

from tembed.bench.gradient_moved import EVEN, GRADIENTS, LIMIT, SHORT, SHORT_LIMIT, GradientMoved, measure
from tembed.bench.indices import draw
from tembed.bench.stand_in import handled_as, regime
from tembed.bench.workloads import Workload
from tembed.kernels import tiles

# Elements that are looked up, the fewest and the most lookups, and rows for each: chunks enough that borders count.
ELEMENTS = 1 << 16
FEWEST, MOST = 64, 512
ROWS = 16
HEAD = (
    "workload, before it is scaled", "operation", "lookups", "N", "U", "V", "D", "rows' bytes", "/ floor", "allowed",
    "sorting, bytes / lookup", "memory beyond", "allowed",
)  # fmt: skip
ABOUT = f"""\
## Gradients

One workload of each kind: of one row length, distribution (sorted is as uniform), way of going about so many lookups,
and share of the table that is looked up. It is the one with the narrowest elements, to which partial sums in float32
add most. Scaled to at most {MOST} lookups and {ROWS} rows for each, but sorted, cut and merged as before it was scaled:
*lookups* says how.

- *rows' bytes*: of the output's gradient, the table's gradient with its zeros, and partial sums; *floor*: each row of
  the output's gradient once, and each of the table's, of a sparse one each that was looked up. *Allowed*:
  {SHORT_LIMIT:.2f} where lookups are even and at most {SHORT} a row on average, {LIMIT:.2f} elsewhere.
- *sorting*: keys, orders and numbers of runs, by kernels and by torch, whose sort counts as reading and writing its
  keys and their order once. Where lookups are few each is compared with all others, which caches serve.
- *memory beyond*: the most bytes that are allocated at once beside the gradient, but for what torch's sort allocates
  within itself; *allowed*: 64 for each lookup, and two partial sums for each chunk.

"""


def kinds(workloads: list[Workload]) -> list[tuple[Workload, int, list[str]]]:
    """One workload of each kind, scaled, with how many lookups it had, and the names of those that it stands for."""
    found: dict[tuple[object, ...], list[Workload]] = {}
    for workload in workloads:
        touched = tiles.fills_untouched(workload.N, workload.V), SHORT * workload.V >= workload.N
        spread = EVEN if workload.distribution in EVEN else workload.distribution
        key = (workload.D, spread, touched, regime(workload.N))
        found.setdefault(key, []).append(workload)
    chosen = []
    for its in found.values():
        most = min(its, key=lambda workload: (workload.itemsize, -workload.N))
        N = min(MOST, max(FEWEST, ELEMENTS // most.D))
        small = most.scaled(max(1.0, most.N / N))
        small = replace(small, V=min(small.V, ROWS * small.N), max_norm=None)
        chosen.append((small, most.N, [most.name, *(w.name for w in its if w is not most)]))
    return chosen


def measured(small: Workload, lookups: int, seed: int) -> Iterator[GradientMoved]:
    """Its gradients, made as of so many lookups."""
    indices = draw(small, Generator().manual_seed(seed))
    with handled_as(lookups):
        for name in GRADIENTS:
            yield measure(name, small, indices)


def line(row: dict[str, Any]) -> Iterator[str]:
    """The table's line for the data of a gradient."""
    first, *others = row["workloads"]
    yield first + (f" and {len(others)} more" if others else "")
    yield row["operation"]
    yield row["regime"]
    for name in ("N", "U", "V", "D", "rows"):
        yield f"{row[name]:,}"
    yield f"{row['to_floor']:.3f}"
    yield f"{row['limit']:.2f}"
    yield f"{row['sorting_per_lookup']:.1f}"
    yield f"{row['beyond']:,}"
    yield f"{row['beyond_allowed']:,}"

"""What `tune` varies of the table of tiles, as data: a constant, other values, and what each is expected to do.

Values may include the present one, which is no variation: what stays is there to go back to when the table changes.
"""

from collections.abc import Iterator
from math import inf
from typing import Any

from .varied import Variation, present

FORWARD, DENSE, SPARSE = "forward", "backward", "sparse backward"
GRADIENTS = (DENSE, SPARSE)


def _each(
    area: str,
    constant: str,
    operations: tuple[str, ...],
    expected: dict[Any, str],
    also: dict[Any, tuple[tuple[str, Any], ...]] | None = None,
) -> Iterator[Variation]:
    for value, says in expected.items():
        yield Variation(area, constant, value, operations, says, (also or {}).get(value, ()))


ROWS = (
    *_each("gather", "ACCESSES[gather]", (FORWARD,), {
        1: "less in flight: shorter tails of small outputs, slower large ones",
        2: "two loads in flight reach the bandwidth",
        4: "more in flight: large outputs of short rows up to 3% faster",
        8: "as 4, with fewer programs at a time",
    }),
    *_each("gather", "WIDEST[gather]", (FORWARD,), {
        1: "a row of one load a thread: pages and rows side by side",
        2: "a program has more of one row: rows over 2 KB up to 2% faster",
        4: "as 2, and fewer programs where rows are long",
    }),
    *_each("renorm", "ACCESSES[renorm]", (FORWARD,), {
        1: "less in flight, half the registers",
        2: "two loads in flight reach the bandwidth",
        4: "fewer, larger programs: slower where norms take registers",
        8: "registers leave few programs at a time: slower",
    }),
    *_each("renorm", "WRITE_BACK_PROGRAMS", (FORWARD,), {
        512: "fewer programs in the second launch: faster with none over, slower with all",
        2048: "as many programs as an H100 holds at once",
        8192: "more programs: faster with all over, slower with none",
    }),
    *_each("renorm", "MOST_BLOCKS", (FORWARD,), {
        8: "a smaller glance: next to nothing up to a million lookups",
        32: "a glance of one warp",
        128: "a glance of a whole program: next to nothing",
    }),
    *_each("sum", "ACCESSES[sum]", GRADIENTS, {
        1: "one chunk or a few a program, two rows of each in flight",
        2: "twice as many chunks in step: slower where programs are few",
        4: "registers leave few programs at a time: slower",
    }),
    *_each("sum", "WIDEST[sum]", GRADIENTS, {
        1: "a load a thread",
        2: "fewer programs read the same keys: rows over 2 KB up to 3% faster",
        4: "as 2, but too few programs for a small number of lookups",
    }),
    *_each("chunks", "CHUNKS[262144]", GRADIENTS, {
        16: "twice the programs, twice the partial sums: faster below 16384 lookups only",
        32: "partial sums of 16-bit rows an eighth of what is read",
        64: "half the partial sums: faster for hot rows of many lookups, slower below 16384",
        128: "too few programs below 65536 lookups",
    }),
    *_each("chunks", "LONGEST_CHUNK", GRADIENTS, {
        32: "twice the partial sums of a million lookups",
        64: "few partial sums, enough programs",
        128: "half the partial sums: up to 2% faster for a million short rows",
    }),
    *_each("merge", "ACCESSES[merge]", GRADIENTS, {
        1: "most programs at a time",
        2: "fewer programs, each with more to walk: slower",
        4: "as 2, more so",
    }),
    *_each("merge", "WIDEST[merge]", GRADIENTS, {
        1: "most programs at a time",
        2: "fewer programs for long rows: slower",
        4: "as 2, more so",
    }),
    *_each("merge", "FAN_IN", GRADIENTS, {
        8: "shorter steps and more levels: slower but for hot rows",
        16: "as 32 with more to walk along",
        32: "one level up to 131072 lookups",
        64: "a longer level, and less to walk along",
    }),
    *_each("walk", "WALKED", GRADIENTS, {
        32: "a level more from 1024 lookups on, shorter walks: slower but for hot rows",
        64: "the same from 2048 on",
        128: "no level up to 4096 lookups",
        256: "a launch less at 8192 lookups: 2 us, but for hot rows",
        512: "a launch less up to 16384 lookups: 2 us, lost again where a row is hot",
    }),
    *_each("few", "FEW", GRADIENTS, {
        0: "torch's sort for all: 20 us slower where lookups are few",
        1024: "torch's sort from 1025 lookups on: slower at 2048",
        4096: "as many as take less than a sort",
        8192: "64 million comparisons: slower than the sort of 8192 by a little",
    }, {8192: (("WALKED", 256), ("rank.MOST", 8192))}),
    *_each("rank", "rank.BLOCK_N", GRADIENTS, {
        16: "twice the programs: faster up to 4096 lookups on a large device",
        32: "128 programs for 4096 lookups",
        64: "registers or spills: slower",
    }),
    *_each("rank", "rank.BLOCK_M", GRADIENTS, {
        32: "more steps of the loop: slower",
        64: "as many comparisons as registers hold",
        128: "registers or spills: slower",
    }),
    *_each("rank", "rank.BLOCK", (DENSE,), {
        1024: "more programs that store zeros: slower by their number",
        4096: "zeros at the speed of a fill",
        16_384: "fewer: the same",
    }),
    *_each("sort", "runs.BLOCK", GRADIENTS, {
        256: "more programs for keys: up to 1 us less for 16384 lookups",
        1024: "a launch of 2 us",
        4096: "too few programs below 65536 lookups",
    }),
    *_each("fill", "SPARSE_ROWS", (DENSE,), {
        0: "zeros all over first: rows that are looked up are written twice",
        4: "the same for tables of four rows a lookup and more",
        9: "a tenth of the rows are written twice at most",
        16: "a search for each row of larger tables: 0 to 5% less time at 9 to 16 rows a lookup",
        inf: "a search for each row always: slower for large tables, which it spares nothing",
    }),
    *_each("fill", "FILL_BYTES", (DENSE,), {
        4096: "more searches for the same zeros: slower",
        16_384: "a search hidden behind stores",
        65_536: "fewer searches and fewer programs: faster for large tables",
    }),
    *_each("warps", "NUM_WARPS", (FORWARD, *GRADIENTS), {
        2: "smaller programs: shorter tails, more of them",
        4: "as many threads as keep 16 programs on a multiprocessor",
        8: "larger programs: longer tails, fewer keys read again",
    }),
)  # fmt: skip
AREAS = tuple(dict.fromkeys(row.area for row in ROWS))


def variations() -> list[Variation]:
    """Those that are not the present table."""
    return [row for row in ROWS if present(row.constant) != row.value]

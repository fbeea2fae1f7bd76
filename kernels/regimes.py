"""Which way a gradient is made: by the number of lookups, the size of the table and the type alone, not by values.

Launchers ask here, and tests see how many launches come of it.
"""

from dataclasses import dataclass
from math import ceil

from . import tiles
from .rank import MOST_ROWS


@dataclass(frozen=True)
class Regime:
    """One way.

    Args:
        ranked: lookups are sorted by comparing each with all others, in one launch; else by torch's sort, whose keys
            one launch makes.
        fill: a dense gradient gets zeros in its untouched rows, by the last launch; else all over before the sums, by
            the launch that ranks, or by torch.
        chunk: sorted positions that one program adds up in sequence.
        levels: launches that merge partial sums of neighbouring spans of chunks.
        spans: how many of those are left then, along which a last launch walks if there are several.
        tile: chunks by columns of a program that adds.
    """

    ranked: bool
    fill: bool
    chunk: int
    levels: int
    spans: int
    tile: tiles.Tile

    @property
    def walks(self) -> bool:
        """Whether a last launch walks along spans."""
        return self.spans > 1

    @property
    def dense_launches(self) -> int:
        """Kernels launched for a dense gradient; many lookups are sorted by torch besides."""
        return 2 + self.levels + (self.walks or self.fill)

    @property
    def sparse_launches(self) -> int:
        """Kernels launched for a sparse one: the runs of many lookups are numbered by two launches and a scan."""
        return (2 if self.ranked else 4) + self.levels + self.walks


def merge_levels(spans: int) -> tuple[int, int]:
    """Launches that merge FAN_IN neighbouring spans each until few enough are left to walk along, and how many are."""
    levels = 0
    while spans > tiles.WALKED:
        spans, levels = ceil(spans / tiles.FAN_IN), levels + 1
    return levels, spans


def ranks(N: int, V: int) -> bool:
    """Whether N lookups in a table of V rows are sorted by comparing each with all others."""
    return tiles.is_few(N) and V < MOST_ROWS


def pick_regime(N: int, V: int, D: int, itemsize: int, lanes: int = 32, chunk: int | None = None) -> Regime:
    """For N lookups in a table [V, D] of elements of `itemsize` bytes, on a device whose warps have so many lanes.

    A chunk that is given is taken.
    """
    chunk = tiles.pick_chunk(N) if chunk is None else chunk
    levels, spans = merge_levels(ceil(N / chunk))
    return Regime(
        ranked=ranks(N, V),
        fill=tiles.fills_untouched(N, V),
        chunk=chunk,
        levels=levels,
        spans=spans,
        tile=tiles.pick_tile("sum", D, itemsize, lanes),
    )

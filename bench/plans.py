"""What the table of tiles makes of a workload: ways and tiles of what is launched, known without launching it."""

from dataclasses import replace
from math import ceil
from typing import Any

from tembed.kernels import tiles

from .workloads import Workload


def plan(workload: Workload, operation: str) -> tuple[Any, ...]:
    """All that depends on the table, of "forward", "backward" or "sparse backward"; as it is now, patches included."""
    return _lookup(workload) if operation == "forward" else _gradient(workload, operation == "backward")


def _lookup(workload: Workload) -> tuple[Any, ...]:
    from tembed.kernels.launch import LANES

    if workload.max_norm is None:
        return (tiles.pick_tile("gather", workload.D, workload.itemsize, LANES),)
    first, back = tiles.pick_row_tiles(workload.D, workload.itemsize, LANES)
    return first, back, tiles.pick_blocks(ceil(workload.N / first.rows)), tiles.MOST_BLOCKS


def _gradient(workload: Workload, dense: bool) -> tuple[Any, ...]:
    from tembed.kernels import rank, runs
    from tembed.kernels.launch import LANES
    from tembed.kernels.regimes import pick_regime

    D, itemsize = workload.D, workload.itemsize
    wide = max(4, itemsize)  # of partial sums
    its = pick_regime(workload.N, workload.V, D, itemsize, LANES)
    fill = dense and its.fill
    spans = ceil(workload.N / its.chunk)
    found: list[Any] = [replace(its, fill=fill, tile=_cut(its.tile, spans))]
    for _ in range(its.levels):
        spans = ceil(spans / tiles.FAN_IN)
        found += [tiles.FAN_IN, _cut(tiles.pick_tile("merge", D, wide, LANES), spans)]
    if its.walks or fill:
        found.append(tiles.pick_walk(D, wide, LANES))
    if fill:
        found.append(tiles.pick_fill(D, itemsize, LANES))
    found += [rank.BLOCK_N, rank.BLOCK_M] if its.ranked else [runs.BLOCK]
    if its.ranked and dense and not fill:
        found.append(rank.BLOCK)
    return tuple(found)


def _cut(tile: tiles.Tile, spans: int) -> tiles.Tile:
    """No more rows than there are spans."""
    return replace(tile, rows=min(tile.rows, tiles.power_of_two_at_least(spans)))

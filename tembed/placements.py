"""Where the parts of a table, of its indices and of what is looked up lie: a placement for each dimension of a mesh.

For each dimension by itself (s(k): split along dimension k of the tensor; R: the same everywhere):

    table   indices   looked up      gradient of the table
    s(0)    R         terms of sums  s(0)
    s(1)    R         s(last)        s(1)
    R       s(k)      s(k)           terms of sums, which are then taken: R
    R       R         R              R

Indices that are split where the table is are gathered first, as they are small. A table in any other placement (terms
of a sum, a split in another order) is brought to R, and its gradient back to where the table was.
"""

import functools
from typing import NamedTuple

from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Partial, Placement, Replicate, Shard

Placements = tuple[Placement, ...]


class Layout(NamedTuple):
    """One way to look up.

    Args:
        table: placements of the table, and of its gradient.
        indices: of the indices.
        out: of what is looked up.
        grad_output: of the gradient of that.
        terms: of the table's gradient as each process sums it up by itself.
        counts: of the number of lookups of each row, as each process counts them.
        by_rows, by_columns: whether the table is split along its rows, along its columns.
        apart: whether processes with the same rows have different indices.
    """

    table: Placements
    indices: Placements
    out: Placements
    grad_output: Placements
    terms: Placements
    counts: Placements
    by_rows: bool
    by_columns: bool
    apart: bool


@functools.lru_cache(maxsize=256)
def pick_layout(table: Placements, indices: Placements, dims: int) -> Layout:
    """The way to look up, given the placements; `dims` is the number of dimensions of the indices."""
    everywhere, terms, last = Replicate(), Partial(), Shard(dims)
    ways: list[tuple[Placement, ...]] = []
    for its, where in zip(table, indices, strict=True):
        if type(its) is Shard and its.dim == 0:
            ways.append((its, everywhere, terms, everywhere, its, its))
        elif type(its) is Shard:
            ways.append((its, everywhere, last, last, its, everywhere))
        elif type(where) is Shard:
            ways.append((everywhere, where, where, where, terms, terms))
        else:
            ways.append((everywhere,) * 6)
    table, indices, out, grad_output, terms_, counts = zip(*ways, strict=True)
    by_rows, by_columns, apart = Shard(0) in table, Shard(1) in table, terms in terms_
    return Layout(table, indices, out, grad_output, terms_, counts, by_rows, by_columns, apart)


def summed(placements: Placements) -> Placements:
    """The placements with sums in place of terms of sums."""
    return tuple(Replicate() if its.is_partial() else its for its in placements)


def own_rows(V: int, mesh: DeviceMesh, table: Placements) -> tuple[int, int]:
    """The first of a table's V rows that lies in this process, and how many do: cut as torch.chunk cuts."""
    first, rows = 0, V
    coordinate = mesh.get_coordinate()
    assert coordinate is not None
    for size, place, its in zip(mesh.shape, coordinate, table, strict=True):
        if type(its) is Shard and its.dim == 0:
            most = -(-rows // size)
            start = min(place * most, rows)
            first, rows = first + start, min(most, rows - start)
    return first, rows

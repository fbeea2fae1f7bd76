"""The tile table: how many rows and columns one program owns, for every kernel.

A pure function of the row length and the element size, so that it can be tested without a GPU.
A thread moves 16 bytes at a time; a program's tile is a whole number of such accesses per thread.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil

ACCESS_BYTES = 16
NUM_WARPS = 4
MOST_REGISTERS = 255  # of a thread, on NVIDIA
MOST_SHARED_REGISTERS = 128  # if a program has MOST_THREADS

# Accesses of 16 bytes that each thread of a program has in flight, per kernel.
ACCESSES = {"gather": 2, "renorm": 2, "sum": 1, "merge": 1}
# The most columns that one tile spans, in accesses of a whole program.
WIDEST = {"gather": 1, "sum": 1, "merge": 1}
# Rows that a program of max_norm holds in registers: up to so many bytes, by up to so many threads.
LONGEST_ROW = 65_536
MOST_THREADS = 512

# Blocks of lookups that one program of max_norm's second launch looks after: as many as leave so many programs.
WRITE_BACK_PROGRAMS = 2048
MOST_BLOCKS = 32

# Lookups that are sorted by comparing each with all others, in one launch; more go to a library's sort.
FEW = 4096
# A dense gradient of up to so many rows for each lookup gets its zeros where rows are untouched; of more, all over.
SPARSE_ROWS = 9
# Bytes of zeros that one program stores, in at most so many rows.
FILL_BYTES = 16_384
MOST_FILL_ROWS = 128

# Sorted positions that one program of the segmented sum adds up in sequence.
CHUNKS = ((262_144, 32),)
LONGEST_CHUNK = 64
# Spans along which one launch walks to merge the runs that cross their borders; while there are more, FAN_IN
# neighbouring ones are merged by one program, level by level.
WALKED = 128
FAN_IN = 32


@dataclass(frozen=True)
class Tile:
    """One program's share: `rows` by `columns` elements, worked on by `num_warps` warps."""

    rows: int
    columns: int
    num_warps: int = NUM_WARPS


def power_of_two_at_least(x: int) -> int:
    """1 for x below 2."""
    return 1 << max(0, x - 1).bit_length()


@cache
def pick_tile(kernel: str, D: int, itemsize: int, lanes: int = 32) -> Tile:
    """The tile of `kernel` for rows of D elements of `itemsize` bytes, on a device whose warps have so many lanes.

    Of the powers of two between one warp's access and the widest tile, the one that pads D least;
    the wider of equals. Shorter rows take one tile, and the program several of them.
    """
    vector = max(1, ACCESS_BYTES // itemsize)
    narrow, wide = lanes * vector, WIDEST[kernel] * NUM_WARPS * lanes * vector
    if narrow >= D:
        columns = power_of_two_at_least(D)
    else:
        widths = [narrow << k for k in range((wide // narrow).bit_length())]
        columns = min(widths, key=lambda width: (ceil(D / width) * width, -width))
    rows = max(1, ACCESSES[kernel] * NUM_WARPS * lanes * vector // columns)
    return Tile(rows, columns)


@cache
def pick_row_tiles(D: int, itemsize: int, lanes: int = 32) -> tuple[Tile, Tile]:
    """The tiles of max_norm's two kernels, of equally many rows.

    The first holds rows whole, by as many warps as leave a thread four accesses, up to LONGEST_ROW; of longer ones a
    piece, by as many threads as there may be. The second takes long rows piece by piece.
    """
    vector = max(1, ACCESS_BYTES // itemsize)
    access = ACCESSES["renorm"] * vector
    piece = NUM_WARPS * lanes * access
    if D * itemsize > LONGEST_ROW:
        # of doubles one access a thread: their sums take twice the registers
        columns = MOST_THREADS * (access if itemsize < 8 else vector)
        return Tile(1, columns, MOST_THREADS // lanes), Tile(1, piece)
    columns = power_of_two_at_least(D)
    warps = min(columns // (4 * vector * lanes), MOST_THREADS // lanes)
    rows = max(1, piece // columns)
    return Tile(rows, columns, max(NUM_WARPS, warps)), Tile(rows, min(columns, piece))


def pick_blocks(count: int) -> int:
    """How many of `count` blocks of lookups one program of max_norm's second launch looks after."""
    return max(1, min(MOST_BLOCKS, count // WRITE_BACK_PROGRAMS))


def is_few(N: int) -> bool:
    """Whether so many lookups are sorted by comparing each with all others; one launch merges their chunks."""
    return min(FEW, WALKED * pick_chunk(N)) >= N


def fills_untouched(N: int, V: int) -> bool:
    """Whether the zeros of a dense gradient go to untouched rows alone: what is looked up is much of the table.

    Not for a single chunk, which has no launch after it.
    """
    return pick_chunk(N) < N and V < SPARSE_ROWS * N


@cache
def pick_fill(D: int, itemsize: int, lanes: int = 32) -> Tile:
    """The rows of a dense gradient that one program looks after, to set the untouched ones to zero piece by piece."""
    rows = power_of_two_at_least(FILL_BYTES // max(1, D * itemsize) // 2 + 1)
    widest = NUM_WARPS * lanes * max(1, ACCESS_BYTES // itemsize)
    return Tile(min(MOST_FILL_ROWS, max(4, rows)), min(widest, power_of_two_at_least(D)))


@cache
def pick_walk(D: int, itemsize: int, lanes: int = 32) -> Tile:
    """Chunks by columns that the walking merge adds at a time: sixteen chunks, by what makes two accesses a thread."""
    vector = max(1, ACCESS_BYTES // itemsize)
    widest = 2 * NUM_WARPS * lanes * vector // 16
    return Tile(16, min(widest, power_of_two_at_least(D)))


def pick_chunk(N: int) -> int:
    """Sorted positions per chunk: short ones keep the device busy when N is small, long ones write fewer partials."""
    return next((chunk for limit, chunk in CHUNKS if limit >= N), LONGEST_CHUNK)

import pytest

from tembed.kernels.chunks import AHEAD
from tembed.kernels.tiles import (
    ACCESS_BYTES,
    CHUNKS,
    FILL_BYTES,
    LONGEST_CHUNK,
    LONGEST_ROW,
    MOST_BLOCKS,
    MOST_FILL_ROWS,
    MOST_THREADS,
    WRITE_BACK_PROGRAMS,
    pick_blocks,
    pick_chunk,
    pick_fill,
    pick_row_tiles,
    pick_tile,
    pick_walk,
)

KERNELS = ("gather", "sum", "merge")
LENGTHS = (*range(1, 70), 96, 127, 128, 129, 300, 512, 768, 1000, 1024, 1152, 4096, 5120, 8191, 16384)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
@pytest.mark.parametrize("lanes", [32, 64])
def test_pick_tile_keeps_every_thread_busy_with_whole_accesses(kernel: str, itemsize: int, lanes: int) -> None:
    for D in LENGTHS:
        tile = pick_tile(kernel, D, itemsize, lanes)
        for size in (tile.rows, tile.columns):
            assert size & (size - 1) == 0
            assert size > 0
        per_thread = tile.rows * tile.columns * itemsize / (tile.num_warps * lanes)
        assert per_thread >= ACCESS_BYTES
        assert per_thread <= 64, "more would not stay in registers"


@pytest.mark.parametrize("kernel", KERNELS)
def test_pick_tile_never_pads_a_row_beyond_a_warps_access(kernel: str) -> None:
    for itemsize in (2, 4, 8):
        for D in LENGTHS:
            columns = pick_tile(kernel, D, itemsize).columns
            waste = -D % columns
            assert waste < max(32 * ACCESS_BYTES // itemsize, D), (D, columns)


def test_pick_tile_takes_a_short_row_whole_and_several_of_them() -> None:
    tile = pick_tile("gather", 16, 4)
    assert tile.columns == 16
    assert tile.rows == 64


def test_pick_tile_splits_a_long_row() -> None:
    tile = pick_tile("gather", 16384, 2)
    assert tile.columns == 1024


def test_pick_chunk_grows_with_N_at_the_thresholds() -> None:
    for limit, chunk in CHUNKS:
        assert pick_chunk(limit) == chunk
        assert pick_chunk(limit + 1) > chunk
    assert pick_chunk(1 << 40) == LONGEST_CHUNK
    assert pick_chunk(0) == CHUNKS[0][1]
    assert all(chunk % AHEAD == 0 for _, chunk in (*CHUNKS, (0, LONGEST_CHUNK)))


@pytest.mark.parametrize("itemsize", [2, 4, 8])
def test_pick_fill_stores_much_and_looks_after_a_few(itemsize: int) -> None:
    for D in LENGTHS:
        rows = pick_fill(D, itemsize).rows
        assert rows & (rows - 1) == 0
        assert rows == 4 or rows * D * itemsize <= FILL_BYTES
        assert rows == MOST_FILL_ROWS or rows * D * itemsize > FILL_BYTES // 2


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("lanes", [32, 64])
def test_pick_walk_gives_every_thread_whole_accesses(itemsize: int, lanes: int) -> None:
    for D in LENGTHS:
        tile = pick_walk(D, itemsize, lanes)
        assert tile.columns & (tile.columns - 1) == 0
        assert tile.rows * tile.columns * itemsize <= 2 * ACCESS_BYTES * tile.num_warps * lanes


@pytest.mark.parametrize("itemsize", [2, 4, 8])
@pytest.mark.parametrize("lanes", [32, 64])
def test_pick_row_tiles_holds_rows_whole_in_registers(itemsize: int, lanes: int) -> None:
    for D in (*LENGTHS, LONGEST_ROW // itemsize, LONGEST_ROW // itemsize + 1, 100_000):
        first, second = pick_row_tiles(D, itemsize, lanes)
        assert (first.columns >= D) == (LONGEST_ROW // itemsize >= D)
        assert first.rows == second.rows, "a block of the first launch is one of the second"
        for tile in (first, second):
            assert tile.num_warps * lanes <= MOST_THREADS
            assert tile.num_warps & (tile.num_warps - 1) == 0
            per_thread = tile.rows * tile.columns * itemsize / (tile.num_warps * lanes)
            assert ACCESS_BYTES <= per_thread <= 128


def test_pick_blocks_leaves_programs_for_the_device_and_has_a_limit() -> None:
    assert [pick_blocks(count) for count in (1, WRITE_BACK_PROGRAMS, 2 * WRITE_BACK_PROGRAMS - 1)] == [1, 1, 1]
    assert pick_blocks(2 * WRITE_BACK_PROGRAMS) == 2
    assert pick_blocks(1 << 40) == MOST_BLOCKS
    assert MOST_BLOCKS & (MOST_BLOCKS - 1) == 0

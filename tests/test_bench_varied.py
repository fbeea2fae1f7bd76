"""Variations of the tiles are legal, and right where they launch something else. Wrong ones get no numbers."""

from dataclasses import replace
from typing import Any

import planted_lookups as planted
import pytest
import torch
from conftest import DEVICE
from planted_variations import VARIATIONS

from tembed import kernels, ops
from tembed.bench.candidates import BASE, changes, provider_of
from tembed.bench.measure import measure
from tembed.bench.timed import OPERATIONS
from tembed.bench.variations import DENSE, FORWARD, SPARSE
from tembed.bench.varied import Variation, patched, patches_of
from tembed.bench.workloads import Workload
from tembed.kernels import chunks, rank, reduce, renorm, runs, tiles

pytestmark = pytest.mark.usefixtures("no_warm_up")
needs_kernels = pytest.mark.skipif(not kernels.drives(DEVICE), reason="needs kernels")

# For each constant a table that lets a few lookups make all launches; and rows of the table, columns, lookups.
Sizes = list[tuple[int, int, int]]
SHORT: dict[str, Any] = {"CHUNKS": ((262_144, 4),)}
SMALL: dict[str, tuple[dict[str, Any], Sizes]] = {
    "ACCESSES[gather]": ({}, [(20, 64, 9)]),
    "WIDEST[gather]": ({}, [(20, 1024, 3)]),
    "ACCESSES[renorm]": ({}, [(20, 1000, 9)]),
    "WRITE_BACK_PROGRAMS": ({"WRITE_BACK_PROGRAMS": 4}, [(20, 1000, 9)]),
    "MOST_BLOCKS": ({}, [(20, 64, 9)]),
    "ACCESSES[sum]": (SHORT, [(20, 1024, 12)]),
    "WIDEST[sum]": (SHORT, [(20, 1024, 12)]),
    "CHUNKS[262144]": ({}, [(20, 16, 140)]),
    "LONGEST_CHUNK": ({"CHUNKS": ((1, 32),)}, [(20, 16, 140)]),
    "ACCESSES[merge]": (SHORT | {"WALKED": 4, "FAN_IN": 4}, [(3, 1024, 24)]),
    "WIDEST[merge]": (SHORT | {"WALKED": 4, "FAN_IN": 4}, [(3, 1024, 24)]),
    "FAN_IN": (SHORT | {"WALKED": 4}, [(3, 16, 140)]),
    "WALKED": (SHORT, [(5, 16, 280), (5, 16, 520)]),
    "FEW": ({}, [(20, 8, 40), (20, 8, 1030), (20, 8, 4100)]),
    "rank.BLOCK_N": ({}, [(20, 16, 70)]),
    "rank.BLOCK_M": ({}, [(20, 16, 70)]),
    "rank.BLOCK": ({}, [(400, 16, 40)]),
    "runs.BLOCK": ({"FEW": 0}, [(20, 16, 40)]),
    "SPARSE_ROWS": ({}, [(k * 40, 16, 40) for k in (2, 5, 12, 20)]),
    "FILL_BYTES": ({}, [(70, 128, 40)]),
    "NUM_WARPS": (SHORT, [(20, 600, 12)]),
}


def small(size: tuple[int, int, int], operation: str, variation: Variation) -> Workload:
    V, D, N = size
    norms = 1.0 if variation.area == "renorm" else None
    return Workload("mine", "small", V, D, (N,), "fp32", "hot" if operation == DENSE else "uniform", norms)


def right(workload: Workload, operation: str) -> bool:
    """Whether a result is to the last bit what torch's own operations make of whole numbers, in either direction."""
    indices = torch.randint(0, workload.V, (workload.N,), device=DEVICE)
    indices[: workload.N // 3] = 1
    table = torch.randint(-9, 10, (workload.V, workload.D), device=DEVICE).float()
    if operation == FORWARD and workload.max_norm is None:
        return torch.equal(ops.lookup(table, indices), table[indices])
    if operation == FORWARD:
        wanted = torch.nn.functional.embedding(indices, table.clone(), max_norm=1.0)
        out = ops.renorm_lookup(table, indices, 1.0, 2.0)
        return torch.equal(out, table[indices]) and torch.allclose(out, wanted)
    grad_output = torch.randint(-9, 10, (workload.N, workload.D), device=DEVICE).float()
    found = ops.gradient(grad_output, indices, workload.V, -1, False, operation == SPARSE)
    wanted = torch.zeros_like(table).index_add_(0, indices, grad_output)
    return torch.equal(found.to_dense() if operation == SPARSE else found, wanted)


def shrink(variation: Variation, patch: pytest.MonkeyPatch) -> tuple[Variation, Sizes]:
    """The variation of a smaller table."""
    table, sizes = SMALL[variation.constant]
    for name, value in table.items():
        for module in (tiles, *(m for m in (reduce, renorm) if name in vars(m))):
            patch.setattr(module, name, value)
    if variation.constant == "WRITE_BACK_PROGRAMS":
        variation = replace(variation, value=max(1, variation.value // 512))
    return variation, sizes


@needs_kernels
@pytest.mark.parametrize("variation", VARIATIONS, ids=lambda v: v.name)
def test_every_variation_is_right(variation: Variation, monkeypatch: pytest.MonkeyPatch) -> None:
    variation, sizes = shrink(variation, monkeypatch)
    patches = patches_of(variation)
    ran = 0
    for size in sizes:
        for name in variation.operations:
            workload = small(size, name, variation)
            if changes(patches, workload, name):
                ran += 1
                with patched(patches):
                    assert right(workload, name), (name, size)
    assert ran >= len(variation.operations), "what it changes was not launched"


@needs_kernels
def test_a_wrong_variation_gets_no_numbers() -> None:
    wrong = Variation("few", "FEW", 8192, (DENSE,), "positions that do not fit", (("WALKED", 256),))
    workload = Workload("mine", "small", 20, 8, (4100,), "fp32", "uniform")
    its = [BASE, provider_of(wrong)]
    row = measure(workload, its, planted.quick_timer(), 1, 1e9, OPERATIONS[DENSE])
    assert row["providers"][BASE.name]["gate"] == "passed"
    assert set(row["providers"][wrong.name]) == {"failed"}


def powers(*sizes: int) -> bool:
    return all(size > 0 and size & (size - 1) == 0 for size in sizes)


@pytest.mark.parametrize("variation", VARIATIONS, ids=lambda v: v.name)
def test_variations_are_legal_for_the_kernels(variation: Variation) -> None:
    with patched(patches_of(variation)):
        for D in (1, 16, 64, 96, 128, 768, 1152, 4096, 16_384, 20_000):
            for itemsize in (2, 4, 8):
                for lanes in (32, 64):
                    its = [tiles.pick_tile(kernel, D, itemsize, lanes) for kernel in ("gather", "sum", "merge")]
                    whole = [*tiles.pick_row_tiles(D, itemsize, lanes)]
                    its += [*whole, tiles.pick_walk(D, itemsize, lanes), tiles.pick_fill(D, itemsize, lanes)]
                    for tile in its:
                        assert powers(tile.rows, tile.columns, tile.num_warps)
                        assert tile.num_warps * lanes <= tiles.MOST_THREADS
                    assert whole[0].rows == whole[1].rows
        for N in (1, 64, 4096, 8192, 262_144, 1 << 20, 1 << 31):
            chunk = tiles.pick_chunk(N)
            assert powers(chunk)
            assert chunk % chunks.AHEAD == 0
            assert tiles.pick_blocks(N) <= tiles.MOST_BLOCKS
            assert not tiles.is_few(N) or rank.MOST.value >= N
        assert tiles.FAN_IN > 1
        assert powers(tiles.MOST_BLOCKS, rank.MOST.value, rank.BLOCK_N, rank.BLOCK_M, rank.BLOCK, runs.BLOCK)

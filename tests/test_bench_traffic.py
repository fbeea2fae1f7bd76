"""No more bytes move than the limits allow, for short rows and long, even and odd, packed and strided."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

from tembed import kernels, ops
from tembed.bench.moved import faults, measure
from tembed.bench.operations import OPERATIONS, fill
from tembed.bench.traffic import scaled
from tembed.bench.workloads import select
from tembed.kernels import tiles
from tembed.parity.inputs import LAYOUTS, make_indices

pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")

LENGTHS = (1, 5, 16, 64, 128, 300, 768, 1152, 4096, 16384)


def problem(name: str, D: int, dtype: torch.dtype, layout: str = "contiguous") -> tuple[torch.Tensor, torch.Tensor]:
    """A table and lookups in it: no row twice where all of them are over, some rows often otherwise."""
    generator = torch.Generator().manual_seed(D)
    N = max(5, min(70, 16384 // D))
    distinct = torch.randperm(2 * N, generator=generator)[:N]
    indices = distinct if name == "max_norm, all over" else make_indices("zipf", (N,), 2 * N, generator)
    weight = LAYOUTS[layout](torch.zeros(2 * N, D, dtype=dtype))
    return fill(weight, indices, OPERATIONS[name].norm, generator), indices


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("D", LENGTHS)
def test_no_operation_moves_more_than_it_may(name: str, D: int, dtype: torch.dtype) -> None:
    assert list(faults(measure(name, *problem(name, D, dtype)))) == []


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("layout", sorted(LAYOUTS.keys() - {"contiguous"}))
def test_strided_tables_move_no_more(name: str, layout: str) -> None:
    assert list(faults(measure(name, *problem(name, 300, torch.float32, layout)))) == []


@pytest.mark.parametrize("name", ["max_norm, none over", "max_norm, all over"])
@pytest.mark.parametrize("D", [300, 4096])
def test_many_blocks_at_a_glance_move_no_more(name: str, D: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiles, "WRITE_BACK_PROGRAMS", 1)
    weight, indices = problem(name, D, torch.float32)
    assert tiles.pick_blocks(len(indices) // tiles.pick_row_tiles(D, 4)[0].rows) > 1
    assert list(faults(measure(name, weight, indices))) == []


def test_a_gather_moves_its_floor_exactly_when_a_program_has_whole_rows() -> None:
    for index_dtype in (torch.int64, torch.int32):
        weight, indices = problem("gather", 64, torch.bfloat16)
        moved = measure("gather", weight, indices.to(index_dtype))
        assert moved.total == moved.floor == moved.sizes.N * (index_dtype.itemsize + 2 * 64 * 2)
        assert {flow["argument"] for flow in moved.launches} == {"weight_ptr", "indices_ptr", "out_ptr"}


@triton.jit
def read_twice_kernel(weight_ptr, indices_ptr, out_ptr, D: tl.constexpr):
    """A gather, a lookup a program, that loads each row once more than it needs."""
    n = tl.program_id(0)
    d = tl.arange(0, D)
    source = weight_ptr + tl.load(indices_ptr + n) * D + d
    tl.store(out_ptr + n * D + d, tl.where(tl.load(source) == 0, 0, tl.load(source)))


def read_twice(weight: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    out = weight.new_empty(indices.numel(), weight.shape[1])
    read_twice_kernel[(indices.numel(),)](weight, indices, out, weight.shape[1])
    return out


PLANTED: dict[str, tuple[str, Callable[..., torch.Tensor], str]] = {
    "rows read twice": ("gather", read_twice, "1.4.. x its floor"),
    "rows read twice, none over": ("max_norm, none over", read_twice, "1.4.. x what gather moves"),
    "rows not written back": ("max_norm, all over", ops.lookup, "fewer than"),
}


@pytest.mark.parametrize(("name", "run", "message"), PLANTED.values(), ids=PLANTED)
def test_planted_faults_are_found(
    monkeypatch: pytest.MonkeyPatch, name: str, run: Callable[..., torch.Tensor], message: str
) -> None:
    table = problem(name, 128, torch.float32)
    monkeypatch.setitem(OPERATIONS, name, replace(OPERATIONS[name], run=run))
    (fault,) = faults(measure(name, *table))
    assert re.search(message, fault), fault


def test_wrong_rows_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(OPERATIONS["gather"], run=lambda weight, indices: ops.lookup(weight, indices.flip(0)))
    table = problem("gather", 64, torch.float32)
    monkeypatch.setitem(OPERATIONS, "gather", wrong)
    with pytest.raises(RuntimeError, match="wrong rows"):
        measure("gather", *table)


def test_every_workload_is_scaled_and_stands_in_one_group() -> None:
    workloads = select([], [])
    groups = scaled(workloads)
    assert sorted(name for names in groups.values() for name in names) == sorted(w.name for w in workloads)
    for small in groups:
        assert 1 <= small.N <= 1024
        assert small.N * small.D <= 1 << 17
        assert small.V >= 2


def test_command_writes_numbers_and_tables(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    files = {kind: tmp_path / f"traffic.{kind}" for kind in ("json", "markdown")}
    options = [text for kind, path in files.items() for text in (f"--{kind}", str(path))]
    chosen = ["--suite", "kg", "--workload", "kg/40k x 128/N=4096/bf16/uniform/*"]
    command = [sys.executable, "-m", "tembed.bench.traffic", *chosen, *options]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    document = json.loads(files["json"].read_text())
    assert document["environment"]["path"] == "kernels (interpreter)"
    assert [row["operation"] for row in document["rows"]] == ["max_norm, none over", "max_norm, all over"]
    for row in document["rows"]:
        assert row["total"] == sum(flow["load"] + flow["store"] for flow in row["launches"])
        assert row["ratios"]["to_gather_floor"] == pytest.approx(row["total"] / row["gather_floor"], abs=1e-4)
        assert f"{row['total']:,}" in files["markdown"].read_text()
    assert [row["operation"] for row in document["gradients"]] == ["dense gradient", "sparse gradient"]
    for row in document["gradients"]:
        assert len(row["workloads"]) == 2
        assert row["floor"] <= row["rows"] <= row["limit"] * row["floor"]
        assert row["beyond"] <= row["beyond_allowed"]
        assert f" {row['rows']:,} " in files["markdown"].read_text()

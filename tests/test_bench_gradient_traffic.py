"""Gradients move and take no more than they may, for few lookups and many; and what would is found."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tembed import kernels, ops
from tembed.bench import cli
from tembed.bench.gradient_moved import GRADIENTS, LIMIT, SHORT_LIMIT, faults, measure
from tembed.bench.gradient_table import HEAD, MOST, ROWS, kinds, line, measured
from tembed.bench.indices import draw
from tembed.bench.stand_in import handled_as
from tembed.bench.torch_moved import TorchMoved
from tembed.bench.workloads import Workload, select

pytestmark = pytest.mark.skipif(not kernels.interpreted(), reason="needs Triton's interpreter")


def workload(D: int, dtype: str, distribution: str, V: int = 200) -> Workload:
    return Workload("mine", "x", V, D, (100,), dtype, distribution)


SIZES = [(16, "bf16"), (64, "fp32"), (300, "bf16"), (512, "fp32")]


@pytest.mark.parametrize("distribution", ["uniform", "hot"])
@pytest.mark.parametrize(("D", "dtype"), SIZES)
def test_gradients_move_and_take_no_more_than_they_may(D: int, dtype: str, distribution: str) -> None:
    lookups = 100 if D in (64, 300) else 1 << 20
    for moved in measured(workload(D, dtype, distribution), lookups, seed=0):
        assert list(faults(moved)) == []
        assert moved.limit == (LIMIT if distribution == "hot" else SHORT_LIMIT)
        launched = " ".join(flow["kernel"] for flow in moved.launches)
        assert moved.regime.startswith("few" if lookups == 100 else "many")
        assert ("rank_" in launched, "merge_partials_" in launched) == (lookups == 100, lookups > 100)
        row = moved.data() | {"workloads": ["a", "b"]}
        assert len([*line(row)]) == len(HEAD)
        assert row["rows"] + row["sorting"] == sum(flow["load"] + flow["store"] for flow in moved.launches)
        assert row["sorting_per_lookup"] > 8


def test_a_large_table_is_filled_all_over_and_still_in_bounds() -> None:
    moved = measure("dense gradient", workload(64, "fp32", "uniform", V=1600), torch.arange(100))
    assert moved.rows / moved.floor == pytest.approx(1800 / 1700, abs=0.001)
    assert list(faults(moved)) == []


REAL = ops.gradient


def copied(grad_output: Tensor, *options: Any) -> Tensor:
    return REAL(grad_output.clone(), *options)


def zeroed_before(grad_output: Tensor, indices: Tensor, V: int, *options: Any) -> Tensor:
    return torch.zeros(V, grad_output.shape[1], dtype=grad_output.dtype).copy_(REAL(grad_output, indices, V, *options))


def remembered(grad_output: Tensor, *options: Any) -> Tensor:
    """The gradient of the time before, which it takes nothing to give."""
    if not REMEMBERED:
        REMEMBERED.append(REAL(grad_output, *options))
    return REMEMBERED[0]


REMEMBERED: list[Tensor] = []
PLANTED: list[tuple[Callable[..., Tensor], list[str]]] = [
    (copied, [r"bytes of rows, 1\.\d+ x the floor, 1.1 allowed", "allocated at once beyond", "as large as the output"]),
    (zeroed_before, [r"bytes of rows, [23]\.\d+ x the floor, 1.1 allowed", "allocated at once", "as large as"]),
    (remembered, ["fewer than it takes"]),
]


@pytest.mark.parametrize(("make", "says"), PLANTED, ids=[make.__name__ for make, _ in PLANTED])
def test_planted_offenders_are_found(
    make: Callable[..., Tensor], says: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "gradient", make)
    its = workload(128, "fp32", "uniform")
    indices = draw(its, torch.Generator().manual_seed(0))
    if make is remembered:
        measure("dense gradient", its, indices)
    found = [*faults(measure("dense gradient", its, indices))]
    assert all(re.search(part, fault) for part, fault in zip(says, found, strict=True)), found


def test_command_says_what_is_broken_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ops, "gradient", copied)
    path, name = tmp_path / "traffic.json", "recsys/1M x 64/N=65536/bf16/uniform"
    assert cli.main(["traffic", "--workload", name, "--json", str(path)]) == 1
    broken = json.loads(path.read_text())["broken"]
    assert {fault.split(",")[0] for fault in broken} == {f"{name}: {gradient}" for gradient in GRADIENTS}
    out = capfd.readouterr().out
    assert all(fault in out for fault in broken)
    assert "1 workloads and 2 gradients, " in out


@pytest.mark.parametrize("name", GRADIENTS)
def test_wrong_gradients_are_not_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "gradient", lambda grad_output, *options: REAL(grad_output * 2, *options))
    with pytest.raises(RuntimeError, match=f"{name} of mine/x/N=100/fp32/hot: wrong; nothing is counted"):
        measure(name, workload(16, "fp32", "hot"), torch.zeros(100, dtype=torch.int64))


def test_torchs_operations_move_what_they_read_and_write() -> None:
    x, keys = torch.zeros(10, 4), torch.arange(10)
    with TorchMoved() as moved:
        x.view(40)[:8].t()
        torch.empty(1000)
        torch.zeros(5)
        x.clone()
        x.add_(1)
        x[:5].copy_(x[5:])
        torch.sort(keys)
        int(keys[0])
        torch.cumsum(keys.to(torch.int8), 0, dtype=torch.int32)
    assert [(its["operation"], its["load"], its["store"], its["integers"]) for its in moved.operations] == [
        ("zeros", 0, 20, False), ("clone", 160, 160, False), ("add_", 160, 160, False), ("copy_", 80, 80, False),
        ("sort", 160, 160, True), ("_local_scalar_dense", 8, 0, True), ("_to_copy", 80, 10, True),
        ("cumsum", 10, 40, True),
    ]  # fmt: skip


def test_every_workload_stands_in_one_kind_of_its_regime() -> None:
    workloads = select([], [])
    every = {w.name: w for w in workloads}
    found = kinds(workloads)
    assert sorted(name for *_, names in found for name in names) == sorted(every)
    for small, lookups, names in found:
        first = every[names[0]]
        assert first.N == lookups == max(every[name].N for name in names if every[name].itemsize == first.itemsize)
        assert first.itemsize == min(every[name].itemsize for name in names)
        assert {every[name].D for name in names} == {small.D}
        assert min(MOST, lookups) >= small.N
        assert 2 <= small.V <= ROWS * small.N
    assert len({(lookups > 4096, lookups > 1 << 18) for _, lookups, _ in found}) == 3
    with handled_as(1 << 20):
        assert len(kinds(workloads)) < len(found)

"""Variations of the table of tiles: each launches something else, and leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import planted_lookups as planted
import pytest
import torch
from conftest import without_gpu
from planted_variations import FULL, VARIATIONS

from tembed import kernels, ops
from tembed.bench import varied
from tembed.bench.candidates import provider_of
from tembed.bench.plans import plan
from tembed.bench.stubbed import stubbed_launches
from tembed.bench.variations import DENSE, FORWARD
from tembed.bench.varied import patched, patches_of
from tembed.bench.workloads import Workload
from tembed.kernels import gather, reduce, renorm, tiles
from tembed.kernels.launch import Launch
from tembed.parity.instruments.launches import on_fake_device

Facts = list[tuple[Any, ...]]


@contextmanager
def recording() -> Iterator[Facts]:
    """Kernels that would be launched: name, grid, every number among the arguments."""
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    found: Facts = []

    def run(self: Any, *args: Any, grid: Any, warmup: bool, **named: Any) -> None:
        every = {**dict(zip(self.arg_names, args, strict=False)), **named}
        found.append((self.fn.__name__, grid, {k: x for k, x in every.items() if isinstance(x, int)}))

    with pytest.MonkeyPatch.context() as patch:
        for kind in (InterpretedFunction, JITFunction):
            patch.setattr(kind, "run", run)
        yield found


def launched(workload: Workload, operation: str) -> Facts:
    """What a workload of any size launches, on a device that computes nothing."""

    def call(table: torch.Tensor, grad_output: torch.Tensor, indices: torch.Tensor) -> Facts:
        with recording() as found:
            if operation == DENSE:
                ops.gradient(grad_output, indices, workload.V, -1, False, False)
            elif workload.max_norm is None:
                ops.lookup(table, indices)
            else:
                ops.renorm_lookup(table, indices, workload.max_norm, 2.0)
        return found

    dtype = {4: torch.float32, 2: torch.bfloat16}[workload.itemsize]
    shapes = (workload.V, workload.D), (workload.N, workload.D)
    meta = [torch.empty(shape, dtype=dtype, device="meta") for shape in shapes]
    return on_fake_device(call, *meta, torch.empty(workload.N, dtype=torch.int64, device="meta"))[0]


@without_gpu
def test_every_variation_launches_something_else_where_its_plan_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "drives", lambda device_type: True)
    operations = {FORWARD: FULL, DENSE: [w for w in FULL if w.max_norm is None]}
    before = {(w, name): (launched(w, name), plan(w, name)) for name, its in operations.items() for w in its}
    for variation in VARIATIONS:
        with patched(patches_of(variation)):
            after = {
                (w, name): (launched(w, name), plan(w, name)) for w, name in before if name in variation.operations
            }
        differs = {key: (facts != before[key][0], its != before[key][1]) for key, (facts, its) in after.items()}
        assert [key for key, (really, says) in differs.items() if really != says] == [], variation.name
        assert (True, True) in differs.values(), variation.name


def state() -> dict[str, Any]:
    """Everything that modules of kernels hold, and what launchers keep."""
    found = {f"{m.__name__}.{k}": x for m in varied._modules() for k, x in vars(m).items() if not k.startswith("__")}
    kept = {f"{name}._kept": x._kept for name, x in found.items() if isinstance(x, Launch)}
    assert len(kept) >= 4
    return {**found, **kept}


@pytest.mark.parametrize("raises", [False, True])
def test_after_a_variation_everything_is_as_before(raises: bool) -> None:
    tiles.pick_tile("gather", 64, 4)
    before, sizes = state(), tiles.pick_tile.cache_info()
    for variation in (None, *VARIATIONS):
        try:
            with provider_of(variation).within():
                within = state()
                kept = "tembed.kernels.gather.launch_gather_rows._kept"
                assert within[kept] is gather.launch_gather_rows._kept is not before[kept]
                assert gather.pick_tile is reduce.pick_tile is tiles.pick_tile
                tiles.pick_tile("gather", 96, 4)
                if raises:
                    raise planted.Broken
        except planted.Broken:
            assert raises
        changed = {key for key in before if before[key] is not within[key]}
        assert {f"tembed.kernels.{name}.pick_tile" for name in ("tiles", "gather", "reduce")} < changed
        assert "tembed.kernels.renorm.launch_renorm_rows._kept" in changed
        after = state()
        assert after.keys() == before.keys()
        assert [key for key in before if before[key] is not after[key]] == [], variation
    assert tiles.pick_tile.cache_info() == sizes


@pytest.mark.skipif(kernels.interpreted() or torch.cuda.is_available(), reason="needs Triton's compiler, and no GPU")
def test_compiled_kernels_are_kept_for_each_variation_apart() -> None:
    table, indices = torch.randn(20, 64), torch.arange(9)
    its = provider_of(next(v for v in VARIATIONS if v.name == "ACCESSES[gather]=4"))
    with stubbed_launches(record=True) as seen:
        gather.launch_gather_rows._kept.clear()
        for _ in range(2):
            ops.lookup(table, indices)
            with its.within():
                ops.lookup(table, indices)
                assert len(gather.launch_gather_rows._kept) == 1
        ours, other = seen[0].hash, seen[1].hash
        assert ours != other
        assert [launched.hash for launched in seen] == [ours, other, ours, other]
        assert len(gather.launch_gather_rows._kept) == 1
        gather.launch_gather_rows._kept.clear()


def test_a_constant_is_changed_wherever_it_was_imported() -> None:
    for name, modules in {"FAN_IN": (tiles, reduce), "MOST_BLOCKS": (tiles, renorm)}.items():
        its = next(v for v in VARIATIONS if v.constant == name)
        with patched(patches_of(its)):
            assert {vars(module)[name] for module in modules} == {its.value}
    for name, value in vars(tiles).items():  # no other module has another thing of the name of a constant
        if name.isupper():
            assert all(vars(m).get(name, value) is value for m in varied._modules()), name

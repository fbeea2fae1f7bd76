"""A step of training that is wrong is not timed; table and state are put back before every sample."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import planted_gradients as wrong
import planted_lookups as planted
import pytest
import torch
from planted_gradients import with_gradient
from planted_lookups import RENORM, TINY
from torch import Tensor

from tembed.bench import measure
from tembed.bench.gate import Wrong
from tembed.bench.gradient_gate import WIDE
from tembed.bench.inputs import make_inputs
from tembed.bench.providers import ours, stock
from tembed.bench.step import OPTIMIZERS, StepInputs
from tembed.bench.timed import OPERATIONS
from tembed.bench.workloads import Workload

pytestmark = pytest.mark.usefixtures("no_warm_up")

CPU = torch.device("cpu")
NAMES = [name for name in OPERATIONS if name.startswith("step:")]
Function = Callable[..., Tensor]


def inputs_of(name: str, workload: Workload) -> StepInputs:
    found = OPERATIONS[name].extend(make_inputs(workload, CPU))
    assert isinstance(found, StepInputs)
    return found


def judge(
    function: Function, name: str, workload: Workload, as_stock: bool = False, after: Any = lambda inputs: None
) -> list[str]:
    """By what the tables after steps with both kinds of indices were judged."""
    operation, inputs = OPERATIONS[name], inputs_of(name, workload)
    found = []
    for indices in (inputs.fresh, inputs.indices):
        step = operation.prepare(
            lambda weight, indices: function(weight, indices, workload.max_norm, sparse=True), inputs, indices
        )

        def run(step: Any = step) -> Tensor:
            out: Tensor = step()
            after(inputs)
            return out

        found.append(operation.check(run, inputs, indices, as_stock))
    return found


def test_there_is_a_step_of_each_of_torchs_sparse_optimizers() -> None:
    assert [f"step:{name}" for name in ("SGD", "SparseAdam", "Adagrad")] == NAMES
    assert [*OPTIMIZERS] == [name.removeprefix("step:") for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("workload", [TINY, *RENORM.values()], ids=["plain", "none over", "all over"])
def test_gate_passes_what_is_right(workload: Workload, dtype: str, name: str) -> None:
    workload = replace(workload, dtype=dtype)
    assert judge(ours, name, workload) == [WIDE, WIDE]
    judge(stock, name, workload, as_stock=True)


WRONG = [wrong.row_forgotten, wrong.too_small, wrong.shifted_rows, wrong.nothing_written, wrong.table_changed]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("change", WRONG, ids=lambda its: its.__name__)
def test_gate_refuses_wrong_gradients(change: Any, dtype: str, name: str) -> None:
    with pytest.raises(Wrong, match="of the table is off by"):
        judge(with_gradient(change), name, replace(TINY, dtype=dtype), as_stock=dtype == "fp32")


def _undone(inputs: StepInputs) -> None:
    inputs.restore()


def _taken_twice(inputs: StepInputs) -> None:
    inputs.optimizer.step()


def _another_row(inputs: StepInputs) -> None:
    untouched = set(range(50)) - set(inputs.rows.tolist())
    inputs.weight.detach()[min(untouched), 5] += 1


STEPS = [(_undone, "of the table is off by"), (_taken_twice, "of the table is off by"), (_another_row, "not looked up")]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(("after", "says"), STEPS, ids=["undone", "taken twice", "another row"])
def test_gate_refuses_wrong_steps(after: Any, says: str, dtype: str, name: str) -> None:
    with pytest.raises(Wrong, match=says):
        judge(stock, name, replace(TINY, dtype=dtype), as_stock=True, after=after)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_is_undone_before_every_sample(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, timer, begun, made = inputs_of(name, TINY), planted.quick_timer(), [], []
    tables = {"": inputs.weight.detach(), **inputs.tables()}
    before = {key: table.clone() for key, table in tables.items()} | {"counts": dict(inputs.counts)}
    sample = timer.sample

    def watched(launch: Any, restore: Any) -> float:
        def looked() -> Any:
            begun.append(all(torch.equal(table, before[key]) for key, table in tables.items()))
            begun.append({key: inputs.state[key] for key in inputs.counts} == before["counts"])
            return launch()

        return sample(looked, restore)

    monkeypatch.setattr(timer, "sample", watched)
    shared = replace(OPERATIONS[name], extend=lambda its: made.append(its) or inputs)
    chosen = [planted.planted("stock", stock, as_stock=True), planted.planted("tembed", ours)]
    row = measure.measure(TINY, chosen, timer, 2, 0, shared)
    assert all("samples_s" in its for its in row["providers"].values()), row["providers"]
    assert begun == [True] * len(begun)
    assert len(begun) == 2 * 2 * 4
    assert not torch.equal(inputs.weight.detach(), before[""])

"""A gradient that is wrong is not timed; one that is right is, in every type and by every provider's standard."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import planted_gradients as wrong
import planted_lookups as planted
import pytest
import torch
from planted_gradients import coalesced, with_gradient
from planted_lookups import RENORM, TINY
from torch import Tensor

from tembed.bench import gate, measure, sums
from tembed.bench.backward import BACKWARD, BOTH, SPARSE_BACKWARD
from tembed.bench.forward import Operation
from tembed.bench.gate import Wrong
from tembed.bench.gradient_gate import WIDE, check_dense, check_sparse
from tembed.bench.inputs import Inputs, make_inputs, with_gradients
from tembed.bench.providers import ours, stock
from tembed.bench.workloads import Workload

pytestmark = pytest.mark.usefixtures("no_warm_up")

# Two rows, each looked up often: a sum in bfloat16 is far from one in float32.
OFTEN = Workload("mine", "often", 2, 16, (1500,), "fp32", "uniform")
Function = Callable[..., Tensor]


def inputs_of(workload: Workload) -> Inputs:
    return with_gradients(make_inputs(workload, torch.device("cpu")))


def judge(function: Function, workload: Workload, operation: Operation = BACKWARD, as_stock: bool = False) -> list[str]:
    """By what the gradients of both kinds of indices were judged."""
    inputs = inputs_of(workload)

    def lookup(weight: Tensor, indices: Tensor) -> Tensor:
        return function(weight, indices, workload.max_norm, **({"sparse": True} if operation.sparse else {}))

    found = []
    for indices in (inputs.fresh, inputs.indices):
        inputs.restore()
        found.append(operation.check(operation.prepare(lookup, inputs, indices), inputs, indices, as_stock))
    return found


@pytest.mark.parametrize("operation", [BACKWARD, BOTH, SPARSE_BACKWARD], ids=lambda its: its.name)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("function", [ours, with_gradient(wrong.right)], ids=["tembed", "float64, rounded"])
def test_gates_pass_what_is_right(function: Function, dtype: str, operation: Operation) -> None:
    assert judge(function, replace(TINY, dtype=dtype), operation) == [WIDE, WIDE]
    for workload in RENORM.values() if operation is BOTH else ():
        assert judge(function, replace(workload, dtype=dtype), operation) == [WIDE, WIDE]


WRONG: list[tuple[Any, str]] = [
    (wrong.row_forgotten, r"row \d+, column 0 of the gradient is off by"),
    (wrong.nothing_written, "of the gradient is off by nan"),
    (wrong.one_roundoff_off, r"of the gradient is off by .*, looked up \d+ times \(1 such here\)"),
    (wrong.too_small, "of the gradient is off by"),
    (wrong.shifted_rows, "of the gradient is "),
    (wrong.table_changed, "the table was changed"),
]
DENSE: list[tuple[Any, str]] = [
    *WRONG,
    (wrong.row_not_zero, r"row \d+ of the gradient is not zero, and was not looked"),
]


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("operation", "change", "says"),
    [(BACKWARD, *its) for its in DENSE] + [(SPARSE_BACKWARD, *its) for its in WRONG],
    ids=lambda x: getattr(x, "name", getattr(x, "__name__", "")),
)
def test_gates_refuse_planted(operation: Operation, change: Any, says: str, dtype: str) -> None:
    with pytest.raises(Wrong, match=says):
        judge(with_gradient(change), replace(TINY, dtype=dtype), operation, as_stock=dtype == "fp32")


def gradient(inputs: Inputs) -> Tensor:
    """The right one, for the timed indices, in float64 on the way."""
    rows = inputs.grad_of(inputs.indices).reshape(-1, inputs.weight.shape[1]).double()
    return torch.zeros(inputs.weight.shape, dtype=torch.float64).index_add_(0, inputs.indices.reshape(-1), rows).float()


FORMS: dict[str, tuple[Any, Any, str]] = {
    "uncoalesced": (check_sparse, lambda g, i: torch.sparse_coo_tensor(i[None], g[i], g.shape), "is not coalesced"),
    "duplicates": (check_sparse, lambda g, i: coalesced(g, i.sort().values), r"lists 20 rows, not the \d+ looked up"),
    "out of order": (check_sparse, lambda g, i: coalesced(g, i.unique().flip(0)), "once each, in order"),
    "one row less": (check_sparse, lambda g, i: coalesced(g, i.unique()[1:]), "once each, in order"),
    "dense": (check_sparse, lambda g, i: g, "layout is torch.strided"),
    "sparse": (check_dense, lambda g, i: coalesced(g, i.unique()), "layout is torch.sparse_coo"),
    "one row more": (check_dense, lambda g, i: torch.cat([g, g[:1]]), "shape is"),
    "wider": (check_dense, lambda g, i: g.double(), "dtype is torch.float64"),
}


@pytest.mark.parametrize(("check", "form", "says"), FORMS.values(), ids=FORMS)
def test_gates_refuse_other_forms(check: Any, form: Any, says: str) -> None:
    inputs = inputs_of(TINY)
    found = form(gradient(inputs), inputs.indices.reshape(-1))
    with pytest.raises(Wrong, match=says):
        check(lambda: found, inputs, inputs.indices, True)


def test_sums_in_bfloat16_are_forgiven_to_stock_only() -> None:
    inputs = inputs_of(replace(OFTEN, dtype="bf16"))
    rows = inputs.grad_of(inputs.indices)
    slow = wrong.in_order(torch.zeros(2, 16, dtype=torch.bfloat16), inputs.indices, rows)
    assert check_dense(lambda: slow, inputs, inputs.indices, True) == "sums in bfloat16, as stock's may be"
    with pytest.raises(Wrong, match="off by"):
        check_dense(lambda: slow, inputs, inputs.indices, False)
    slow[0, 0] += 100
    with pytest.raises(Wrong, match="row 0, column 0"):
        check_dense(lambda: slow, inputs, inputs.indices, True)


@pytest.mark.parametrize("operation", [BACKWARD, SPARSE_BACKWARD], ids=lambda its: its.name)
def test_sums_of_whole_numbers_are_exact_however_many(operation: Operation) -> None:
    assert judge(ours, OFTEN, operation, as_stock=True) == [WIDE, WIDE]
    with pytest.raises(Wrong, match="off by"):
        judge(with_gradient(wrong.one_roundoff_off), OFTEN, operation, as_stock=True)


def test_judgement_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "CHUNK", 5 * 20 * 8)
    monkeypatch.setattr(gate, "CHUNK", 3 * 16 * 4)
    assert judge(ours, TINY) == [WIDE, WIDE]
    for change, says in DENSE:
        with pytest.raises(Wrong, match=says):
            judge(with_gradient(change), TINY)


@pytest.mark.parametrize("operation", [BACKWARD, SPARSE_BACKWARD], ids=lambda its: its.name)
def test_what_fails_has_no_numbers_and_costs_others_none(operation: Operation) -> None:
    chosen = [planted.planted(change.__name__, with_gradient(change)) for change, _ in WRONG]
    chosen += [planted.planted("stock", stock, as_stock=True)]
    row = measure.measure(TINY, chosen, planted.quick_timer(), 3, 0, operation)
    *failed, last = row["providers"].values()
    assert all(set(its) == {"failed"} and its["failed"].startswith("Wrong: ") for its in failed)
    assert len(last["samples_s"]) == 3
    assert row["gradient_bytes"] == (50 * 64 if operation is BACKWARD else row["unique"] * (64 + 8))

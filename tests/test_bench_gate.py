"""What is wrong is not timed."""

from collections.abc import Callable
from typing import Any

import planted_lookups as planted
import pytest
import torch
from planted_lookups import RENORM, TINY

from tembed.bench import gate
from tembed.bench.gate import Wrong, check_forward
from tembed.bench.inputs import NORMS, bytes_needed, make_inputs
from tembed.bench.measure import measure
from tembed.bench.providers import PROVIDERS, Provider, stock
from tembed.bench.workloads import Workload

pytestmark = pytest.mark.usefixtures("no_warm_up")

CPU = torch.device("cpu")


def judge(function: Callable[..., Any], workload: Workload) -> None:
    inputs = make_inputs(workload, CPU)
    for indices in (inputs.fresh, inputs.indices):
        check_forward(lambda: function(inputs.weight, indices, workload.max_norm), inputs, indices)  # noqa: B023


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("workload", [TINY, *RENORM.values()], ids=["plain", "none over", "all over"])
def test_gate_passes_stock(workload: Workload, dtype: str) -> None:
    judge(stock, Workload(**{**vars(workload), "dtype": dtype}))


WRONG = [
    (planted.shifted_row, TINY, "not the table's row, bit for bit: lookup 0, of row"),
    (planted.one_bit_flipped, TINY, r"bit for bit: lookup 19, of row \d+ \(1 such here\)"),
    (planted.last_lookup_forgotten, TINY, "bit for bit: lookup 19"),
    (planted.table_changed, TINY, "the table was changed"),
    (planted.without_gradient, TINY, "requires_grad is False"),
    (planted.in_double, TINY, "dtype is torch.float64, should be torch.float32"),
    (planted.flattened, TINY, "shape is"),
    (planted.remembering(), TINY, "bit for bit"),
    (planted.norm_ignored, RENORM["all"], "is over max_norm and was not scaled to it"),
    (planted.table_not_scaled, RENORM["all"], "was not scaled to it"),
    (planted.output_not_scaled, RENORM["all"], "not the table's row, bit for bit"),
    (planted.slightly_too_small, RENORM["all"], "was not scaled to it"),
    (planted.all_rows_scaled, RENORM["all"], "was changed, and is not over max_norm"),
    (planted.scaled_though_under, RENORM["none"], "was changed, and is not over max_norm"),
    (planted.one_bit_flipped, RENORM["none"], "not the table's row, bit for bit"),
]


@pytest.mark.parametrize(("function", "workload", "says"), WRONG, ids=[f"{f.__name__}-{w.over}" for f, w, _ in WRONG])
def test_gate_refuses_planted(function: Callable[..., Any], workload: Workload, says: str) -> None:
    with pytest.raises(Wrong, match=says):
        judge(function, workload)


@pytest.mark.parametrize(("function", "workload", "says"), WRONG, ids=[f"{f.__name__}-{w.over}" for f, w, _ in WRONG])
def test_what_fails_has_no_numbers_and_costs_others_none(
    function: Callable[..., Any], workload: Workload, says: str
) -> None:
    if function.__name__ == "lookup":
        function = planted.remembering()
    chosen = [planted.planted("wrong", function), PROVIDERS["stock"], planted.planted("raising", planted.raising)]
    row = measure(workload, chosen, planted.quick_timer(), rounds=4, seconds=0)
    assert set(row["providers"]["wrong"]) == set(row["providers"]["raising"]) == {"failed"}
    assert row["providers"]["wrong"]["failed"].startswith("Wrong: ")
    assert row["providers"]["raising"]["failed"] == "Broken: no such luck"
    assert len(row["providers"]["stock"]["samples_s"]) == row["rounds"] == 4


def test_rows_are_compared_in_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "CHUNK", 3 * 16 * 4)
    judge(stock, TINY)
    with pytest.raises(Wrong, match="lookup 19"):
        judge(planted.one_bit_flipped, TINY)
    with pytest.raises(Wrong, match="the table was changed"):
        judge(planted.table_changed, TINY)


@pytest.mark.parametrize("over", ["none", "all"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_norms_are_on_the_side_of_max_norm_that_the_workload_says(over: str, dtype: str) -> None:
    inputs = make_inputs(Workload("mine", "x", 500, 16, (9,), dtype, "uniform", 3.0, over), CPU)
    norms = inputs.weight.detach().float().norm(dim=1) / 3
    low, high = NORMS[over]
    assert low * 0.98 < norms.min() < norms.max() < high * 1.02
    assert (norms.min() > 1) if over == "all" else (norms.max() < 1)
    stock(inputs.weight, inputs.indices, 3.0)
    inputs.restore()
    assert inputs.pristine is not None
    assert torch.equal(inputs.weight, inputs.pristine)


def test_inputs_are_the_same_again_and_indices_are_not_those_that_are_only_checked() -> None:
    a, b = make_inputs(TINY, CPU), make_inputs(TINY, CPU)
    assert torch.equal(a.weight, b.weight)
    assert torch.equal(a.indices, b.indices)
    assert not torch.equal(a.indices, a.fresh)
    assert a.weight.requires_grad
    assert a.unique == len(set(a.indices.reshape(-1).tolist()))


def test_what_does_not_fit_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = planted.quick_timer()
    monkeypatch.setattr(timer, "free", lambda: bytes_needed(TINY, 1) - 1)
    row = measure(TINY, [PROVIDERS["stock"]], timer, 2, 0)
    assert row["skipped"] == "needs about 0.0 GB, of which 0.0 are there"
    assert "providers" not in row


def test_liger_says_what_it_lacks() -> None:
    liger: Provider = PROVIDERS["liger"]
    assert liger.lacks(RENORM["all"], torch.device("cuda")) in ("has no max_norm", "not installed")
    assert liger.lacks(TINY, CPU) in ("needs a GPU", "not installed")
    row = measure(TINY, [liger], planted.quick_timer(), 2, 0)
    assert row["providers"]["liger"] == {"unsupported": liger.lacks(TINY, CPU)}

"""The table of bad inputs: the committed one is of the rows in the code, and rows notice what they are there for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import tembed
from tembed.parity import bad_inputs, bad_inputs_table, cli, peers
from tembed.parity.bad_inputs import TABLES, examine
from tembed.parity.cases import all_cases
from tembed.parity.rows import Row
from tembed.parity.scene import Act, Scene
from tembed.parity.snapshots import alike, changes, record
from tembed.parity.subject import Implementation, Mismatch

DOCUMENT = json.loads((bad_inputs_table.RESULTS / "bad_inputs.json").read_text())
ROWS = DOCUMENT["rows"]


def test_the_committed_table_has_the_rows_of_the_code_all_held() -> None:
    assert [row["row"] for row in ROWS] == bad_inputs_table.names()
    assert len(ROWS) >= 400
    assert [row["row"] for row in ROWS if not row["held"]] == []
    assert DOCUMENT["environment"]["path"] == ["reference", "kernels (interpreter)"]


def test_the_committed_page_is_of_the_committed_data() -> None:
    all_cases()
    assert (bad_inputs_table.RESULTS / "bad_inputs.md").read_text() == bad_inputs_table.text(DOCUMENT)


def test_a_row_is_unchanged_or_says_what_torch_changes() -> None:
    errors = [row for row in ROWS if row["found"] != "no error, equal" and row["stock"] != bad_inputs_table.GPU]
    assert len(errors) >= 150
    excused = [row["row"] for row in errors if row["unchanged"] != "yes"]
    moving = [f"{table.name}/{row.name}" for table in TABLES.values() for row in table.rows.values() if row.moves]
    assert set(excused) <= set(moving)
    assert len(moving) <= 11


def subject(function: Callable[..., Any], device: str) -> Implementation:
    """tembed, but for its function."""
    return Implementation("planted", tembed.Embedding, function, device, peers.PROMISED)


def scales_first(input: Any, weight: Any, padding_idx: int | None = None, max_norm: Any = None, **options: Any) -> Any:
    if max_norm is not None:
        weight.data[input[:1].clamp(0, len(weight) - 1)] = 0
    return tembed.embedding(input, weight, padding_idx, max_norm, **options)


def counts_up(input: Any, weight: Any, **options: Any) -> Any:
    torch.autograd.graph.increment_version(weight)
    return tembed.embedding(input, weight, **options)


def changes_indices(input: Any, weight: Any, **options: Any) -> Any:
    try:
        return tembed.embedding(input, weight, **options)
    finally:
        input.clamp_(0)


def speaks_as_stock(input: Any, weight: Any, **options: Any) -> Any:
    return F.embedding(input, weight, **options)


def sets_a_gradient(input: Any, weight: Any, **options: Any) -> Any:
    weight.grad = torch.zeros_like(weight)
    return tembed.embedding(input, weight, **options)


def is_a_little_off(input: Any, weight: Any, **options: Any) -> Any:
    return tembed.embedding(input, weight, **options) * (1 + 1e-5)


PLANTED = {
    scales_first: ("index-changes-nothing/-1", "changed although it raised"),
    counts_up: ("index-range/V", "changed although it raised: weight: version"),
    changes_indices: ("index-range/-1", "changed although it raised: input"),
    speaks_as_stock: ("index-range/V", "should be IndexError: index out of range in self: index 41 at position"),
    sets_a_gradient: ("index-range/V, trained", "changed although it raised: weight: gradient"),
    is_a_little_off: ("norm-values/max_norm inf", "the result"),
}


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.__name__)
def test_rows_find_what_is_wrong(planted: Callable[..., Any], device: str) -> None:
    name, message = PLANTED[planted]
    kind, _, row = name.partition("/")
    all_cases()
    with tembed.index_checks("immediate"):
        examine(TABLES[kind].rows[row], subject(tembed.embedding, device))
        with pytest.raises(Mismatch, match=message):
            examine(TABLES[kind].rows[row], subject(planted, device))


def test_a_row_that_says_something_else_of_stock_does_not_hold(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_inputs, "SAID_BY", torch.__version__)

    def prepare(s: Scene) -> Act:
        return s.call(s.indices(), s.table())

    row = Row("good", prepare, RuntimeError, "no such words")
    with pytest.raises(Mismatch, match="of stock it says 'no such words': no error"):
        examine(row, peers.find("tembed", device))


def gap(module: Any) -> None:
    module.weight.untyped_storage()[5] = 1


RECORDED: dict[str, Callable[[Any, Any], object]] = {
    "number": lambda module, optimizer: module.weight.data[0].zero_(),
    "gap": lambda module, optimizer: gap(module),
    "version": lambda module, optimizer: torch.autograd.graph.increment_version(module.weight),
    "gradient": lambda module, optimizer: module.weight.grad.data.mul_(2),
    "no gradient": lambda module, optimizer: module.zero_grad(),
    "memory": lambda module, optimizer: setattr(module.weight, "data", module.weight.data.clone()),
    "requires_grad": lambda module, optimizer: module.weight.requires_grad_(False),
    "attribute": lambda module, optimizer: setattr(module, "padding_idx", 1),
    "learning rate": lambda module, optimizer: optimizer.param_groups[0].update(lr=2.0),
    "momentum": lambda module, optimizer: optimizer.state[module.weight]["momentum_buffer"].mul_(2),
    "random numbers": lambda module, optimizer: torch.randn(1),
}


@pytest.mark.parametrize("change", RECORDED)
def test_what_changes_is_recorded(change: str) -> None:
    module = tembed.Embedding(4, 3, _weight=torch.ones(4, 5)[:, 1:4])
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0, momentum=0.5)
    module(torch.tensor([1, 2])).sum().backward()
    optimizer.step()
    things = {"module": module, "optimizer": optimizer}
    before = record(things)
    assert changes(before, record(things)) == []
    RECORDED[change](module, optimizer)
    assert changes(before, record(things)) != []


def test_the_command_does_the_rows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    all_cases()
    monkeypatch.setattr(bad_inputs, "SAID_BY", torch.__version__)
    monkeypatch.setattr(bad_inputs_table, "TABLES", {"weight-type": TABLES["weight-type"]})
    assert cli.main(["bad-inputs", "--json", str(tmp_path / "rows.json")]) == 0
    assert capfd.readouterr().out == "11 of 11 rows held\n"
    assert len(json.loads((tmp_path / "rows.json").read_text())["rows"]) == 11
    wrong = Row("wrong", lambda s: s.call(s.indices(), s.table()), ValueError, "never")
    monkeypatch.setitem(TABLES["weight-type"].rows, "wrong", wrong)
    assert cli.main(["bad-inputs"]) == 1
    assert "weight-type/wrong: FAILED: of stock it says" in capfd.readouterr().out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64])
def test_results_are_alike_to_four_roundings(dtype: torch.dtype) -> None:
    wanted = torch.ones(3, 2, dtype=dtype)
    eps = torch.finfo(dtype).eps
    alike(wanted * (1 + 4 * eps), wanted, "the result", outer=False)
    for times in (5, 8):
        with pytest.raises(Mismatch, match="the result"):
            alike(wanted * (1 + times * eps), wanted, "the result", outer=False)

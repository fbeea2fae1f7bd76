"""Bad indices on accelerators: raised by a later call, once, with all that a call on the CPU would say, and no wait."""

import threading
from collections.abc import Callable

import pytest
import torch

import tembed
from tembed import kernels, reports
from tembed.parity.instruments.launches import waits

EARLIER = "found on {}.* by an earlier lookup, whose row was zeros"
BAD = [[0, 5], [9, -1]]
TOLD = r"index 9 at position \[1, 0\] of an input of shape \[2, 2\], in a table of 6 rows"


def lookup(device: str, indices: object = BAD, V: int = 6, **options: object) -> torch.Tensor:
    return tembed.embedding(torch.tensor(indices, device=device), torch.ones(V, 3, device=device), **options)  # type: ignore[arg-type]


def told(call: Callable[[], object] = tembed.check_indices) -> str:
    with pytest.raises(IndexError) as caught:
        call()
    return str(caught.value)


def settle(device: str) -> None:
    """The device has done what it was given."""
    if device != "cpu":
        torch.accelerator.synchronize()


def nothing_arrived(tensor: torch.Tensor) -> None:
    """As if the host were ahead of the device."""
    settle(tensor.device.type)
    reports._memories[tensor.get_device()].view[0] = 0


@pytest.mark.parametrize("options", [{}, {"max_norm": 1.0}, {"max_norm": float("nan")}], ids=str)
def test_the_bad_row_is_zeros_and_the_next_lookup_raises(options: dict[str, float], deferring: str) -> None:
    out = lookup(deferring, **options)
    assert out[0].any(-1).all()
    assert not out[1].any()
    settle(deferring)
    with pytest.raises(IndexError, match=f"^index out of range in self: {TOLD}; {EARLIER.format(deferring)}$"):
        lookup(deferring, [0])
    assert lookup(deferring, [0]).all()
    tembed.check_indices()


def test_the_backward_raises_before_anything_is_accumulated(deferring: str) -> None:
    module = tembed.Embedding(6, 3, device=deferring)
    out = module(torch.tensor(BAD, device=deferring))
    settle(deferring)
    with pytest.raises(IndexError, match=TOLD):
        out.sum().backward()
    assert module.weight.grad is None


def test_a_backward_on_another_thread_raises_there(deferring: str) -> None:
    module = tembed.Embedding(6, 3, device=deferring)
    out = module(torch.tensor(BAD, device=deferring)).sum()
    settle(deferring)
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(told(out.backward)))
    thread.start()
    thread.join()
    assert len(texts) == 1
    assert module.weight.grad is None
    tembed.check_indices()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_a_bad_index_has_no_part_in_gradients_and_counts(sparse: bool, scale: bool, deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring, requires_grad=True)
    indices = torch.tensor([1, 6, 1, -1, 4], device=deferring)
    out = tembed.embedding(indices, weight, scale_grad_by_freq=scale, sparse=sparse)
    assert "index 6 at position [1]" in told()
    out.sum().backward()
    assert weight.grad is not None
    row = [0, 1 if scale else 2, 0, 0, 1, 0]
    assert torch.equal(weight.grad.to_dense().cpu(), torch.tensor(row).view(6, 1).expand(6, 3).float())


def test_max_norm_leaves_a_table_alone_but_for_good_rows(deferring: str) -> None:
    weight = torch.full((4, 2), 9.0, device=deferring)
    tembed.embedding(torch.tensor([1, 7], device=deferring), weight, max_norm=1.0)
    assert "index 7 at position [1]" in told()
    assert torch.equal(weight[[0, 2, 3]].cpu(), torch.full((3, 2), 9.0))
    assert weight[1].norm() <= 1.0


def test_each_lookup_is_told_of_once_in_order(deferring: str) -> None:
    with tembed.index_checks("deferred"):
        weights = [torch.ones(V, 3, device=deferring) for V in (6, 5, 4)]
        for weight in weights:
            tembed.embedding(torch.tensor([7], device=deferring), weight)
            nothing_arrived(weight)
    lines = told().splitlines()
    assert ["table of 6 rows" in lines[0], "table of 5 rows" in lines[1], "table of 4 rows" in lines[2]] == [True] * 3
    assert len(lines) == 3
    tembed.check_indices()


def test_more_lookups_than_an_error_has_lines_are_counted(deferring: str) -> None:
    for _ in range(reports.MOST + 3):
        nothing_arrived(lookup(deferring))
    assert told().splitlines()[-1] == "and by 3 lookups more"
    tembed.check_indices()


@pytest.mark.parametrize(
    ("indices", "position", "index"),
    [(9, "[]", 9), ([[[0, 1]], [[2, -3]]], "[1, 0, 1]", -3), ([6], "[0]", 6)],
    ids=["0-d", "3-d", "1-d"],
)
def test_positions_have_the_dimensions_of_the_input(indices: object, position: str, index: int, deferring: str) -> None:
    lookup(deferring, indices)
    assert f"index {index} at position {position} of an input of shape" in told()


@pytest.mark.parametrize("dtype", [torch.bool, torch.int16, torch.complex128, torch.complex64, torch.float8_e4m3fn])
def test_tables_of_every_dtype_report_once(dtype: torch.dtype, deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring).to(dtype)
    for table in (weight, weight[:, :0]):
        tembed.embedding(torch.tensor(BAD, device=deferring), table)
        assert told().count("index 9") == 1
        tembed.check_indices()


def test_a_lazy_negative_table_reports(deferring: str) -> None:
    table = torch.ones(6, 3, device=deferring, dtype=torch.complex64).conj().imag
    assert table.is_neg()
    tembed.embedding(torch.tensor(BAD, device=deferring), table)
    assert told().count("index 9") == 1


def test_derivatives_report_nothing_of_their_own(deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring, dtype=torch.float64, requires_grad=True)
    indices = torch.tensor(BAD, device=deferring)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(weight, torch.ones_like(weight))
        out = tembed.embedding(indices, dual)
        assert told().count("index 9") == 1
        (grad,) = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    grad.sum().backward()
    tembed.check_indices()


def test_off_raises_nothing_and_immediate_changes_nothing(deferring: str) -> None:
    with tembed.index_checks("off"):
        assert not lookup(deferring)[1].any()
    tembed.check_indices()
    weight = torch.full((4, 2), 9.0, device=deferring)
    with tembed.index_checks("immediate"), pytest.raises(IndexError, match=r"index 7 at position \[1\]") as caught:
        tembed.embedding(torch.tensor([1, 7], device=deferring), weight, max_norm=1.0)
    assert "earlier" not in str(caught.value)
    assert (weight == 9).all()
    tembed.check_indices()


def test_off_raises_nothing_that_was_reported_before(deferring: str) -> None:
    weight = torch.ones(6, 3, device=deferring, requires_grad=True)
    out = tembed.embedding(torch.tensor(BAD, device=deferring), weight)
    settle(deferring)
    with tembed.index_checks("off"):
        lookup(deferring, [0])
        out.sum().backward()
    assert "index 9" in told()


def test_an_interrupt_while_waiting_loses_nothing(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lookup(deferring)
    settle(deferring)

    def interrupted(self: reports.Memory, slot: int) -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(reports.Memory, "_told", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tembed.check_indices()
    assert told(lambda: lookup(deferring)).count("index 9") == 1


def test_reports_are_asked_for_under_any_mode_of_torch(deferring: str) -> None:
    lookup(deferring)
    settle(deferring)
    with torch._subclasses.FakeTensorMode(), torch.device("meta"):
        assert "index 9" in told()
    with torch.inference_mode():
        lookup(deferring)
        assert "index 9" in told()


def test_what_nobody_asked_about_is_printed_at_exit(deferring: str, capfd: pytest.CaptureFixture[str]) -> None:
    lookup(deferring)
    settle(deferring)
    reports._tell_at_exit()
    reports._tell_at_exit()
    assert capfd.readouterr().err.count("index 9 at position [1, 0]") == 1
    tembed.check_indices()


def test_a_lookup_waits_for_nothing(deferring: str) -> None:
    module = tembed.Embedding(6, 3, device=deferring, max_norm=1.0)
    indices = torch.tensor([[0, 5]], device=deferring)
    module(indices)
    with waits() as found:
        module(indices).sum().backward()
    assert found == []


def test_the_module_is_named_however_its_table_is_held(deferring: str) -> None:
    model = torch.nn.ModuleDict({"wte": torch.nn.Embedding(6, 3), "wpe": tembed.Embedding(6, 3)}).to(deferring)
    change = tembed.replace_embeddings(model)
    indices = torch.tensor(BAD, device=deferring)
    for name in ("wte", "wpe"):
        model[name](indices)
        assert f"in a table of 6 rows, that of {name!r}; found" in told()
        tembed.embedding(indices, model[name].weight.detach())
        assert f"that of {name!r}" in told()
        with tembed.index_checks("immediate"):
            assert told(lambda name=name: model[name](indices)).endswith(f"that of {name!r}")  # type: ignore[misc]
    assert set(tembed.name_embeddings(model, "model.embeddings")) == {"model.embeddings.wte", "model.embeddings.wpe"}
    model["wpe"](indices)
    assert "that of 'model.embeddings.wpe'" in told()
    change.revert()
    tembed.embedding(indices, model["wte"].weight)
    assert "that of" not in told()


def test_names_need_a_module() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, not list"):
        tembed.name_embeddings([])  # type: ignore[arg-type]


def test_slots_go_round_and_nothing_grows(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "SLOTS", 4)
    monkeypatch.setattr(reports, "KINDS", 3)
    monkeypatch.setattr(reports, "_memories", {})
    weight, indices = torch.ones(3, 2, device=deferring), torch.tensor([1], device=deferring)
    slots = []
    for number, captured in enumerate((False, True) * 9):
        memory = reports._memory_of(weight)
        assert memory is not None
        memory.capturing = lambda captured=captured: captured  # type: ignore[misc]
        report = reports.check(indices.expand(number + 1), 3, weight)
        assert report is not None
        assert len(memory.kinds) <= 4
        slots.append(report[1])
    assert slots[::2] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert slots[1::2] == [4, 5, 6, 7, 4, 5, 6, 7, 4]
    assert len(memory.launches) == 8


def test_a_captured_launch_that_lost_its_slot_is_told_of_without_a_shape(deferring: str) -> None:
    lookup(deferring, [1, 2])
    (memory,) = reports._memories.values()
    slot = next(slot for slot, launch in enumerate(memory.launches) if launch)
    for words in ((8, 70, 6), (1, 70, 4)):
        for k, word in enumerate(words):
            memory.view[1 + 3 * slot + k] = word
        text = told()
        assert text.startswith(
            f"index out of range in self: index 70 at position [{words[0] - 1}] of a flattened input"
        )
        assert f"in a table of {words[2]} rows; found" in text


def test_two_threads_are_told_of_all_that_they_did(deferring: str) -> None:
    texts: list[str] = []

    def attempt(call: Callable[[], object]) -> bool:
        try:
            call()
        except IndexError as error:
            texts.append(str(error))
            return False
        return True

    made = [0, 0]

    def work(number: int, V: int) -> None:
        for i in range(5):
            made[number] += attempt(lambda: lookup(deferring, [V + i], V))  # noqa: B023

    threads = [threading.Thread(target=work, args=args) for args in enumerate((6, 60))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    attempt(tembed.check_indices)
    lines = [line for text in texts for line in text.splitlines()]
    assert len(lines) == len(set(lines)) == sum(made) > 2
    tembed.check_indices()


def test_where_no_kernel_runs_bad_indices_raise_at_the_call(deferring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "drives", lambda device_type: False)
    monkeypatch.setattr(reports, "_memories", {})
    assert "earlier" not in told(lambda: lookup(deferring))
    with tembed.index_checks("off"):
        assert reports.check(torch.tensor([9], device=deferring), 6) is None

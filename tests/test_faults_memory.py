"""Memory that runs out at any allocation of a step: that very error, nothing changed, and the next step as stock's."""

import pytest
import torch
from faults_steps import CASES, NEXT, Case, equal, same, short_chunks
from injected import Point, fault_at, points

import tembed

MANY = ["dense", "sparse"]


def trace(case: Case, device: str) -> list[Point]:
    """Of the second time: the first may have something to set up."""
    case.run(case.state(device))
    state = case.state(device)
    return points(lambda: case.run(state))


@pytest.mark.parametrize(("name", "few"), [*((name, True) for name in CASES), *((name, False) for name in MANY)])
def test_out_of_memory_at_any_allocation_changes_nothing(
    name: str, few: bool, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_chunks(monkeypatch, few)
    case, reference = CASES[name], tembed.path(device) == "reference"
    numbers = [number for number, point in enumerate(trace(case, device)) if point.allocates]
    assert numbers
    whole = case.state(device)
    forward = len(points(lambda: case.lookup(whole)))
    for number in numbers:
        state, error = case.state(device), torch.OutOfMemoryError("no memory")
        before = state.bits()
        with pytest.raises(torch.OutOfMemoryError) as raised, fault_at(number, error):
            case.run(state)
        assert raised.value is error
        # max_norm of the reference is an operation of its own, as with stock, and before the lookup
        if number >= forward or (reference and same(state.bits()["weight"], whole.bits()["weight"])):
            before["weight"] = whole.bits()["weight"]
        assert equal(state.bits(), before), number
        if number in numbers[::NEXT]:
            case.next_step(state)


def test_max_norm_by_the_kernels_allocates_before_it_changes_the_table(device: str) -> None:
    if tembed.path(device) == "reference":
        pytest.skip("there max_norm is an operation of its own, as with stock")
    found = trace(CASES["max_norm"], device)
    launched = next(number for number, point in enumerate(found) if point.name == "renorm_rows_kernel")
    written = next(number for number, point in enumerate(found) if point.name == "write_back_rows_kernel")
    assert any(point.allocates for point in found[:launched])
    assert not any(point.allocates for point in found[launched:written])


@pytest.mark.parametrize("sparse", [False, True])
def test_out_of_memory_of_a_gpu_changes_nothing(sparse: bool, device: str) -> None:
    if device != "cuda":
        pytest.skip("needs a GPU, whose memory can be limited")
    V, D, N = 65_536, 1024, 32_768
    weight = torch.zeros(V, D, device=device, requires_grad=True)
    indices = torch.randint(0, V, (N,), device=device)
    out, before = tembed.embedding(indices, weight, sparse=sparse), weight.detach().clone()
    grad_output = torch.ones_like(out)
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + (16 << 20)  # the gradient takes 128 MiB and more
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            out.backward(grad_output)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert weight.grad is None
    assert torch.equal(weight, before)
    tembed.embedding(indices[:100], weight, sparse=sparse).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad.to_dense()[:, 0], torch.bincount(indices[:100], minlength=V).float())

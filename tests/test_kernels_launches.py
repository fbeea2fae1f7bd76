"""How many kernels a call launches, and where the host waits for the device: once, to size a sparse gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import triton
import triton.language as tl

from tembed import kernels, ops
from tembed.kernels.tiles import FAN_IN, pick_chunk
from tembed.parity.instruments.launches import HostWaits, launches, on_fake_device, waits


def merges(N: int) -> int:
    """Launches that merge the partial sums of N lookups: the depth of a tree over their chunks."""
    spans, depth = triton.cdiv(N, pick_chunk(N)), 0
    while spans > 1:
        spans, depth = triton.cdiv(spans, FAN_IN), depth + 1
    return depth


Call = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Any]
# What each call may launch for N lookups, and how often the host may wait. A dense gradient encodes keys, sums
# chunks and merges them; a sparse one marks and numbers runs besides.
CALLS: dict[str, tuple[Callable[[int], int], int, Call]] = {
    "lookup": (lambda N: 1, 0, lambda w, i, g: ops.lookup(w, i)),
    "max_norm": (lambda N: 2, 0, lambda w, i, g: ops.renorm_lookup(w, i, 1.0, 2.0)),
    "dense gradient": (lambda N: 2 + merges(N), 0, lambda w, i, g: ops.gradient(g, i, 6, 1, True, False)),
    "double backward": (lambda N: 1, 0, lambda w, i, g: ops.gradient_of_gradient(w, i, 1, True)),
    "sparse gradient": (lambda N: 4 + merges(N), 1, lambda w, i, g: ops.gradient(g, i, 6, 1, True, True)),
}
LENGTHS = {6: 0, 16: 0, 17: 1, 512: 1, 513: 2}


@triton.jit
def zero_kernel(x_ptr, N: tl.constexpr):
    tl.store(x_ptr + tl.program_id(0), 0, mask=tl.program_id(0) < N)


def tensors(N: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    indices = torch.randint(0, 6, (N,))
    indices[0] = 0
    return torch.randn(6, 4, device=device), indices.to(device), torch.randn(N, 4, device=device)


@pytest.mark.parametrize("N", LENGTHS)
@pytest.mark.parametrize("name", CALLS)
def test_call_launches_and_waits_as_often_as_stated(name: str, N: int, device: str) -> None:
    launched, waited, call = CALLS[name]
    inputs = tensors(N, device)
    with launches() as found, waits() as seen:
        call(*inputs)
    assert merges(N) == LENGTHS[N]
    assert len(found) == launched(N), found
    assert len(seen) == waited, seen


def test_launches_names_kernels_and_grids(device: str) -> None:
    x = torch.ones(5, device=device)
    with launches() as found:
        zero_kernel[(2,)](x, N=5)
        zero_kernel[lambda arguments: (arguments["N"], 1)](x, N=5)
    assert found == [("zero_kernel", (2,)), ("zero_kernel", (5, 1))]
    assert not x.any()
    zero_kernel[(2,)](x, N=5)
    assert len(found) == 2


def test_an_extra_launch_is_counted(device: str) -> None:
    weight, indices, _ = tensors(6, device)
    with launches() as found:
        ops.lookup(weight, indices)
        zero_kernel[(1,)](weight, N=1)
    assert [launched.kernel for launched in found] == ["gather_rows_kernel", "zero_kernel"]


def test_waits_notices_what_waits(device: str) -> None:
    x = torch.ones(3, device=device)
    with waits() as seen:
        x[x > 0], x.sum().item(), x.nonzero(), x.unique()
    assert len(seen) == 4
    with waits() as seen:
        x[[0, 1]], x.sum(), x.sort()
    assert seen == []


PLANTED: dict[str, Callable[[torch.Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "condition": lambda x: x + 1 if x.any() else x,
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "mask": lambda x: x[x > 0],
    "store through a mask": lambda x: x.index_put_((x > 0,), torch.ones((), device=x.device)),
    "copy to the host": lambda x: x.cpu() + 1,
    "copy from the host": lambda x: x.copy_(torch.ones(3, device="cpu")),
    "indices on the host": lambda x: x[torch.tensor([0, 1], device="cpu")],
}


@pytest.mark.parametrize("name", PLANTED)
def test_on_fake_device_raises_where_the_host_waits(name: str) -> None:
    with pytest.raises(HostWaits):
        on_fake_device(PLANTED[name], torch.ones(3))


def test_on_fake_device_runs_what_does_not_wait() -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        zero_kernel[(3,)](x, N=3)
        return x.sort().values.cumsum(0)[x.long()]

    out, found = on_fake_device(call, torch.ones(3))
    assert out.shape == (3,)
    assert found == [("zero_kernel", (3,))]


@pytest.mark.parametrize("name", CALLS)
def test_the_host_waits_only_to_size_a_sparse_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    launched, waited, call = CALLS[name]
    monkeypatch.setattr(kernels, "drives", lambda device_type: True)
    if waited:
        with pytest.raises(HostWaits, match="_local_scalar_dense"):
            on_fake_device(call, *tensors(40))
    else:
        assert len(on_fake_device(call, *tensors(40))[1]) == launched(40)

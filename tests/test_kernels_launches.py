"""How many kernels a call launches, and where the host waits for the device: once, to size a sparse gradient."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import triton
import triton.language as tl
from conftest import without_gpu
from torch.utils._python_dispatch import TorchDispatchMode

from tembed import kernels, ops
from tembed.kernels import tiles
from tembed.kernels.regimes import pick_regime
from tembed.kernels.tiles import SPARSE_ROWS
from tembed.parity.instruments.launches import HostWaits, launches, on_fake_device, waits

Call = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], Any]
# What each call may launch for so many lookups that are ranked or not, and whose sums are merged by so many launches,
# and how often the host may wait. A dense gradient ranks or encodes keys, sums chunks and merges them; a sparse one
# of many numbers runs besides, by marking and writing them.
CALLS: dict[str, tuple[Callable[[bool, int], int], int, Call]] = {
    "lookup": (lambda few, merges: 1, 0, lambda w, i, g: ops.lookup(w, i)),
    "max_norm": (lambda few, merges: 2, 0, lambda w, i, g: ops.renorm_lookup(w, i, 1.0, 2.0)),
    "dense gradient": (lambda few, merges: 2 + merges, 0, lambda w, i, g: ops.gradient(g, i, 6, 1, True, False)),
    "dense gradient of a large table": (
        lambda few, merges: 2 + merges, 0, lambda w, i, g: ops.gradient(g, i, SPARSE_ROWS * len(i), 1, True, False)
    ),
    "double backward": (lambda few, merges: 1, 0, lambda w, i, g: ops.gradient_of_gradient(w, i, 1, True)),
    "sparse gradient": (
        lambda few, merges: (2 if few else 4) + merges, 1, lambda w, i, g: ops.gradient(g, i, 6, 1, True, True)
    ),
}  # fmt: skip
CHUNK, FEW, WALKED = 32, 64, 32
# Those that are not few, with their merges: one chunk is none, up to WALKED a walk, more a level and a walk.
LENGTHS = {6: 0, CHUNK: 0, CHUNK + 1: 1, FEW: 1, FEW + 1: 1, CHUNK * WALKED: 1, CHUNK * WALKED + 1: 2}


@pytest.fixture(autouse=True)
def _fewer_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """To rank thousands and to add them up takes the interpreter seconds."""
    monkeypatch.setattr(tiles, "FEW", FEW)
    monkeypatch.setattr(tiles, "WALKED", WALKED)


@triton.jit
def zero_kernel(x_ptr, N: tl.constexpr):
    tl.store(x_ptr + tl.program_id(0), 0, mask=tl.program_id(0) < N)


def tensors(N: int, device: str = "cpu") -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    indices = torch.randint(0, 6, (N,))
    indices[0] = 0
    return torch.randn(6, 4, device=device), indices.to(device), torch.randn(N, 4, device=device)


class Operations(TorchDispatchMode):
    """Collects the names of torch's operations that do more than allocate or view."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if (
            not func.is_view
            and func.namespace == "aten"
            and not name.startswith(("empty", "new_empty", "_unsafe_view"))
        ):
            self.names.append(name)
        return func(*args, **(kwargs or {}))


@without_gpu
@pytest.mark.parametrize("V", [6, 1_000_000])
def test_a_dense_gradient_of_few_takes_three_launches_zeros_included(V: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "drives", lambda device_type: True)

    def call(grad_output: torch.Tensor, indices: torch.Tensor) -> list[str]:
        with Operations() as operations:
            ops.gradient(grad_output, indices, V, 1, True, False)
        return operations.names

    for N, launched in ((1, 2), (CHUNK, 2), (CHUNK + 1, 3), (FEW, 3)):
        operations, found = on_fake_device(call, torch.ones(N, 4), torch.zeros(N, dtype=torch.int64))
        assert (operations, len(found)) == ([], launched)
    operations, _ = on_fake_device(call, torch.ones(FEW + 1, 4), torch.zeros(FEW + 1, dtype=torch.int64))
    assert "sort" in operations


@pytest.mark.parametrize("N", LENGTHS)
@pytest.mark.parametrize("name", CALLS)
def test_call_launches_and_waits_as_often_as_stated(name: str, N: int, device: str) -> None:
    launched, waited, call = CALLS[name]
    inputs = tensors(N, device)
    with launches() as found, waits() as seen:
        call(*inputs)
    assert len(found) == launched(N <= FEW, LENGTHS[N]), found
    assert len(seen) == waited, seen


@pytest.mark.parametrize("N", LENGTHS)
def test_regimes_say_how_many_kernels_are_launched(N: int, device: str) -> None:
    _, indices, grad_output = tensors(N, device)
    for V in (6, SPARSE_ROWS * N - 1, SPARSE_ROWS * N):
        its = pick_regime(N, V, 4, 4)
        for sparse, stated in ((False, its.dense_launches), (True, its.sparse_launches)):
            with launches() as found:
                ops.gradient(grad_output, indices, V, -1, False, sparse)
            assert len(found) == stated, (V, sparse)


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


@without_gpu
@pytest.mark.parametrize("name", PLANTED)
def test_on_fake_device_raises_where_the_host_waits(name: str) -> None:
    with pytest.raises(HostWaits):
        on_fake_device(PLANTED[name], torch.ones(3))


@without_gpu
def test_on_fake_device_runs_what_does_not_wait() -> None:
    def call(x: torch.Tensor) -> torch.Tensor:
        zero_kernel[(3,)](x, N=3)
        return x.sort().values.cumsum(0)[x.long()]

    out, found = on_fake_device(call, torch.ones(3))
    assert out.shape == (3,)
    assert found == [("zero_kernel", (3,))]


@without_gpu
def test_torch_checks_operations_beside_a_fake_device(device: str) -> None:
    on_fake_device(lambda x: x + 1, torch.ones(3))
    torch.library.opcheck(torch.ops.tembed.embedding_indices.default, (torch.arange(4, device=device), 9, None))


@without_gpu
@pytest.mark.parametrize("name", CALLS)
def test_the_host_waits_only_to_size_a_sparse_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    launched, waited, call = CALLS[name]
    monkeypatch.setattr(kernels, "drives", lambda device_type: True)
    if waited:
        with pytest.raises(HostWaits, match="from fakegpu to cpu"):
            on_fake_device(call, *tensors(40))
    else:
        assert len(on_fake_device(call, *tensors(40))[1]) == launched(True, 1)

"""Where the host waits for the device: nowhere on the dense path, once for a sparse gradient."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tembed import ops

A = torch.ops.aten
# Operations whose result, or its shape, the host has to know.
WAITING = (
    A._local_scalar_dense, A.nonzero, A.masked_select, A.unique_consecutive, A._unique2, A.unique_dim,
    A.bincount, A.repeat_interleave, A.equal, A.is_nonzero,
)  # fmt: skip


class Waits(TorchDispatchMode):
    """Collects the names of operations for which the host waits, indexing with a mask included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        masks = args[1] if func.overloadpacket in (A.index, A.index_put, A.index_put_) else ()
        if func.overloadpacket in WAITING or any(m is not None and m.dtype == torch.bool for m in masks):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


INDICES = torch.tensor([[0, 3, 3], [5, 1, 3]])
CALLS = {
    "lookup": (0, lambda w, i, g: ops.lookup(w, i)),
    "max_norm": (0, lambda w, i, g: ops.renorm_lookup(w, i, 1.0, 2.0)),
    "dense gradient": (0, lambda w, i, g: ops.gradient(g, i, 6, 1, True, False)),
    "double backward": (0, lambda w, i, g: ops.gradient_of_gradient(w, i, 1, True)),
    "sparse gradient": (1, lambda w, i, g: ops.gradient(g, i, 6, 1, True, True)),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_host_waits_only_to_size_a_sparse_gradient(name: str, device: str) -> None:
    times, call = CALLS[name]
    weight, grad_output = torch.randn(6, 4, device=device), torch.randn(2, 3, 4, device=device)
    with Waits() as waits:
        call(weight, INDICES.to(device), grad_output)
    assert len(waits.seen) == times, waits.seen


def test_waits_notices_what_waits(device: str) -> None:
    x = torch.ones(3, device=device)
    with Waits() as waits:
        x[x > 0], x.sum().item(), x.nonzero(), x.unique()
    assert len(waits.seen) == 4

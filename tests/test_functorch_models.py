"""Models under torch.func: functional_call, ensembles, gradients of samples, and what runs underneath."""

from typing import Any

import loops
import pytest
import torch
from loops import CALLS, INDICES, D, V, exact, loop
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

import tembed
from tembed import kernels

GIVEN: dict[str, Any] = {"padding_idx": 2, "scale_grad_by_freq": True}


class Model(nn.Module):
    """A table, and something behind it."""

    def __init__(self, device: str, **given: Any) -> None:
        super().__init__()
        self.table = tembed.Embedding(V, D, device=device, dtype=torch.float64, **given)
        self.head = nn.Linear(D, 1, device=device, dtype=torch.float64)

    def forward(self, indices: Tensor) -> Tensor:
        out: Tensor = self.head(self.table(indices)).square()
        return out


def parameters(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


def gradients(model: nn.Module, indices: Tensor) -> dict[str, Tensor]:
    """Those of one call, by backward()."""
    model.zero_grad()
    model(indices).sum().backward()
    return {name: p.grad.to_dense().clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_of_samples_are_those_of_one_call_after_another(sparse: bool, device: str) -> None:
    model, indices = Model(device, sparse=sparse, **GIVEN), INDICES.to(device)
    one = grad(lambda p, i: functional_call(model, p, (i,)).sum())
    found = vmap(one, (None, 0))(parameters(model), indices)
    for k in range(CALLS):
        for name, wanted in gradients(model, indices[k]).items():
            torch.testing.assert_close(found[name].to_dense()[k], wanted)


@pytest.mark.parametrize("data", ["shared", "own"])
@pytest.mark.parametrize("given", [{}, {"padding_idx": 2}, GIVEN], ids=["plain", "padding", "padding and scale"])
def test_an_ensemble_trains_like_its_members(given: dict[str, Any], data: str, device: str) -> None:
    members = [Model(device, **given) for _ in range(CALLS)]
    stacked, buffers = stack_module_state(members)
    indices, dim = INDICES.to(device), 0 if data == "own" else None

    def call(p: dict[str, Tensor], b: dict[str, Tensor], i: Tensor) -> Tensor:
        out: Tensor = functional_call(members[0], (p, b), (i,))
        return out

    args = indices if data == "own" else indices[0]
    vmap(call, (0, 0, dim))(stacked, buffers, args).sum().backward()
    found = vmap(grad(lambda p, i: call(p, {}, i).sum()), (0, dim))({k: v.detach() for k, v in stacked.items()}, args)
    for k, member in enumerate(members):
        for name, wanted in gradients(member, args[k] if data == "own" else args).items():
            torch.testing.assert_close(stacked[name].grad[k], wanted)
            torch.testing.assert_close(found[name][k], wanted)


def test_many_tables_are_one_launch(device: str) -> None:
    if not kernels.drives(torch.device(device).type):
        pytest.skip("runs no kernels: the other lane has it")
    from tembed.parity.instruments.launches import launches

    weight, indices = loops.table(device, calls=CALLS), INDICES.to(device)

    def one(w: Tensor, i: Tensor) -> Tensor:
        return tembed.embedding(i, w, **GIVEN).sum()

    with launches() as of_one:
        grad(one)(weight[0], indices[0])
    with launches() as of_all:
        vmap(grad(one))(weight, indices)
    assert "gather_rows_kernel" in [launched.kernel for launched in of_one]
    assert [launched.kernel for launched in of_all] == [launched.kernel for launched in of_one]


@pytest.mark.parametrize("options", loops.OPTIONS)
def test_a_map_of_backwards_through_a_call_before_it(options: str, device: str) -> None:
    given, indices = loops.OPTIONS[options], INDICES[0].to(device)
    weight, grads = loops.table(device).requires_grad_(), loops.whole(CALLS, *indices.shape, D, device=device)
    out = tembed.embedding(indices, weight, **given)
    (found,) = vmap(lambda g: torch.autograd.grad(out, weight, g, retain_graph=True))(grads)
    exact(found, loop(lambda g: loops.gradient(g, indices, **given), (0,), grads))

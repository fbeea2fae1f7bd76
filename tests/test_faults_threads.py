"""Threads: tables that are trained at once, lookups in one table, and backwards where no forward was."""

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed
from tembed import kernels

V, D = 12, 4
STEPS = 2 if kernels.interpreted() else 5  # the interpreter takes a tenth of a second for one
OPTIONS: dict[str, dict[str, Any]] = {
    "dense": {"padding_idx": 2},
    "sparse": {"sparse": True},
    "max_norm": {"max_norm": 1.0, "scale_grad_by_freq": True},
}


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, each in a thread of its own, all begun together; raises what one of them raised."""
    results: list[Any] = [None] * len(calls)
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(calls))

    def run(number: int) -> None:
        try:
            barrier.wait(60)
            results[number] = calls[number]()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    for error in errors:
        raise error
    return results


def trained(seed: int, device: str, options: dict[str, Any]) -> Tensor:
    """A table after some steps of training."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(V, D, generator=generator).to(device)
    module = tembed.Embedding.from_pretrained(table, freeze=False, **options)
    lr = 0.1
    optimizer = (torch.optim.SparseAdam if module.sparse else torch.optim.AdamW)(module.parameters(), lr=lr)
    for _ in range(STEPS):
        indices = torch.randint(0, V, (3, 5), generator=generator).to(device)
        goal = torch.randn(3, 5, D, generator=generator).to(device)
        optimizer.zero_grad()
        (module(indices) - goal).square().sum().backward()
        optimizer.step()
    return module.weight.detach()


@pytest.mark.parametrize("name", OPTIONS)
def test_tables_trained_in_two_threads_are_those_trained_one_after_the_other(name: str, device: str) -> None:
    alone = [trained(seed, device, OPTIONS[name]) for seed in (1, 2)]
    together = at_once(*(lambda seed=seed: trained(seed, device, OPTIONS[name]) for seed in (1, 2)))
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_threads_that_look_up_in_one_table_get_its_rows(max_norm: float | None, device: str) -> None:
    if max_norm and tembed.path(device) == "reference":
        pytest.skip("torch's own max_norm may scale a row twice if two threads do, here as in stock")
    weight = torch.zeros(V, D, device=device)
    weight[:, 1] = torch.arange(V)  # scaled once, no row is over: 1 / (norm + 1e-7) rounds down
    wanted = weight.clone()
    every = torch.arange(V, device=device)
    torch.nn.functional.embedding(every.cpu(), cpu := wanted.cpu(), max_norm=max_norm)
    wanted = cpu.to(device)

    def look_up(n: int) -> None:
        for k in range(STEPS):
            indices = every.roll(k)[:n]
            assert torch.equal(tembed.embedding(indices, weight, max_norm=max_norm), wanted[indices])

    at_once(lambda: look_up(V), lambda: look_up(V - 5))
    assert torch.equal(weight, wanted)


@pytest.mark.parametrize("sparse", [False, True])
def test_a_gradient_is_the_same_by_a_backward_in_another_thread(sparse: bool, device: str) -> None:
    indices = torch.randint(0, V, (9,), device=device)
    grad_output = torch.randn(9, D, device=device)
    grads = []
    for run in (lambda backward: backward(), lambda backward: at_once(backward)):
        weight = torch.zeros(V, D, device=device, requires_grad=True)
        out = tembed.embedding(indices, weight, sparse=sparse)
        run(lambda out=out: out.backward(grad_output))
        grads.append(weight.grad)
        assert weight.grad is not None
        assert weight.grad.is_sparse == sparse
        assert not sparse or weight.grad.is_coalesced()
    assert torch.equal(grads[0].to_dense(), grads[1].to_dense())  # type: ignore[union-attr]


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_of_several_threads_add_up_in_one_table(sparse: bool, device: str) -> None:
    weight = torch.zeros(V, D, device=device, requires_grad=True)
    every = torch.arange(V, device=device)
    pieces = [every[3 * k : 3 * k + 6] for k in range(3)]
    wanted = torch.bincount(torch.cat(pieces), minlength=V).float()
    for _ in range(STEPS):
        weight.grad = None
        outs = [tembed.embedding(piece, weight, sparse=sparse).sum() for piece in pieces]
        at_once(*(out.backward for out in outs))
        grad = weight.grad
        assert grad is not None
        assert torch.equal(grad.to_dense()[:, 1], wanted)
        if sparse and grad.is_coalesced():
            assert len(grad._indices()[0].unique()) == grad._nnz()

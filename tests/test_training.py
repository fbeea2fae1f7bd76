"""Several optimizer steps, tembed against stock, from the same weights and batches."""

from collections.abc import Callable

import pytest
import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, SparseAdam

import tembed

Make = Callable[[list[torch.nn.Parameter]], Optimizer]
DENSE: dict[str, Make] = {
    "SGD": lambda p: SGD(p, lr=0.1),
    "momentum": lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "Adagrad": lambda p: Adagrad(p, lr=0.1),
    "AdamW": lambda p: AdamW(p, lr=0.01),
}
SPARSE: dict[str, Make] = {
    **{name: DENSE[name] for name in ("SGD", "momentum", "Adagrad")},
    "SparseAdam": lambda p: SparseAdam(p, lr=0.01),
    "maximize": lambda p: SGD(p, lr=0.1, maximize=True),
    "foreach": lambda p: SGD(p, lr=0.1, foreach=True),
}
V, D = 9, 6


def train(
    cls: type[torch.nn.Embedding], make: Make, device: str, **options: object
) -> tuple[torch.Tensor, list[float]]:
    torch.manual_seed(1)
    module = cls(V, D, **options).to(device)  # type: ignore[arg-type]
    optimizer = make([*module.parameters()])
    target = torch.randn(V, D, device=device)
    losses = []
    for _ in range(5):
        indices = torch.randint(0, V, (4, 5)).to(device)
        optimizer.zero_grad()
        loss = (module(indices) - target[indices]).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return module.weight.detach(), losses


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"max_norm": 1.5}, {"scale_grad_by_freq": True}], ids=str)
@pytest.mark.parametrize("name", DENSE)
def test_dense_training_follows_stock(options: dict[str, object], name: str, device: str) -> None:
    ours, losses = train(tembed.Embedding, DENSE[name], device, **options)
    stock, stock_losses = train(torch.nn.Embedding, DENSE[name], "cpu", **options)
    torch.testing.assert_close(ours.cpu(), stock, rtol=2e-5, atol=2e-6)
    assert losses == pytest.approx(stock_losses, rel=1e-5)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"max_norm": 1.5}], ids=str)
@pytest.mark.parametrize("name", SPARSE)
def test_sparse_training_follows_stock(options: dict[str, object], name: str, device: str) -> None:
    ours, losses = train(tembed.Embedding, SPARSE[name], device, sparse=True, **options)
    stock, stock_losses = train(torch.nn.Embedding, SPARSE[name], "cpu", sparse=True, **options)
    torch.testing.assert_close(ours.cpu(), stock, rtol=2e-5, atol=2e-6)
    assert losses == pytest.approx(stock_losses, rel=1e-5)


def test_sparse_training_with_scale_follows_dense_training_with_scale(device: str) -> None:
    """Stock's sparse backward cannot divide by counts; its dense one can."""
    ours, _ = train(tembed.Embedding, SPARSE["SGD"], device, sparse=True, scale_grad_by_freq=True)
    stock, _ = train(torch.nn.Embedding, DENSE["SGD"], "cpu", scale_grad_by_freq=True)
    torch.testing.assert_close(ours.cpu(), stock, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [Adam, AdamW])
def test_optimizers_for_dense_gradients_refuse_sparse_ones(cls: type[Optimizer], device: str) -> None:
    with pytest.raises(RuntimeError, match=r"does not support sparse gradients"):
        train(tembed.Embedding, lambda p: cls(p), device, sparse=True)  # type: ignore[call-arg]

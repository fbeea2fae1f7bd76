"""A default device is a mode of __torch_function__, and no reason to leave tembed's own path."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed


def tensors(device: str) -> tuple[Tensor, Tensor]:
    """Indices and a table."""
    return torch.tensor([1, 2, 1], device=device), torch.ones(4, 3, device=device)


@contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("enter", [torch.device, default_device], ids=["with device", "set_default_device"])
@pytest.mark.parametrize("where", ["cpu", "meta", "same"])
def test_default_device_does_not_switch_the_path(enter: Any, where: str, device: str) -> None:
    indices, weight = tensors(device)
    weight = torch.nn.Parameter(weight)
    with enter(device if where == "same" else where):
        out = tembed.embedding(indices, weight, sparse=True)
        (grad,) = torch.autograd.grad(out.sum(), weight)
    assert grad.is_coalesced()
    assert grad.indices().tolist() == [[1, 2]]
    assert grad.values().sum(1).tolist() == [6.0, 3.0]
    assert out.device == grad.device == weight.device


@pytest.mark.parametrize("enter", [torch.device, default_device], ids=["with device", "set_default_device"])
def test_default_device_keeps_the_index_error(enter: Any, device: str) -> None:
    indices, weight = tensors(device)
    with enter(device), tembed.index_checks("immediate"), pytest.raises(IndexError, match="index 8 at position"):
        tembed.embedding(indices + 7, weight, max_norm=0.5)
    assert torch.equal(weight, torch.ones(4, 3, device=device))

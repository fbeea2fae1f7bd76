"""__torch_function__: overrides see torch.nn.functional.embedding; a default device is no override."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

import tembed

OPTIONS = {"padding_idx": -2, "max_norm": 3.0, "norm_type": 1.0, "scale_grad_by_freq": True, "sparse": True}
DEFAULTS = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False}


class Recorder(Tensor):
    """Keeps what __torch_function__ was given, and answers for the function."""

    calls: list[tuple[Any, ...]]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        cls.calls.append((func, types, args, kwargs))
        return "handled"


class Refuser(Tensor):
    """Overrides nothing it is asked for."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return NotImplemented


class Tagged(Tensor):
    """A subclass with nothing of its own."""


class Watcher(TorchFunctionMode):
    """Keeps the calls it sees, and lets them pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append((func, types, args, kwargs))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _forget() -> None:
    Recorder.calls = []


def tensors(device: str, which: str, cls: type[Tensor]) -> tuple[Tensor, Tensor]:
    """Indices and a table, those named in `which` as subclasses."""
    indices, weight = torch.tensor([1, 2, 1], device=device), torch.ones(4, 3, device=device)
    return (
        indices.as_subclass(cls) if "input" in which else indices,
        weight.as_subclass(cls) if "weight" in which else weight,
    )


@pytest.mark.parametrize("options", [{}, OPTIONS], ids=["defaults", "options"])
@pytest.mark.parametrize("which", ["input", "weight", "input and weight"])
def test_override_receives_stocks_call(which: str, options: dict[str, Any], device: str) -> None:
    indices, weight = tensors(device, which, Recorder)
    assert tembed.embedding(indices, weight, **options) == "handled"
    assert F.embedding(indices, weight, **options) == "handled"
    (func, types, args, kwargs), stock = Recorder.calls
    assert func is F.embedding
    assert list(types) == list(stock[1])
    assert len(args) == 2
    assert args[0] is indices
    assert args[1] is weight
    assert kwargs == {**DEFAULTS, **options}
    assert stock[0] is func
    assert stock[3] == kwargs


@pytest.mark.parametrize("options", [{"padding_idx": 99}, {"sparse": 1}, {"max_norm": "a"}], ids=str)
def test_override_comes_before_every_check(options: dict[str, Any], device: str) -> None:
    assert tembed.embedding(*tensors(device, "weight", Recorder), **options) == "handled"
    assert Recorder.calls[0][3] == {**DEFAULTS, **options}


def test_override_is_seen_through_the_module(device: str) -> None:
    indices, _ = tensors(device, "input", Recorder)
    module = tembed.Embedding(4, 3, 1, device=device, max_norm=3.0, norm_type=1.0, scale_grad_by_freq=True, sparse=True)
    assert module(indices) == "handled"
    func, _, args, kwargs = Recorder.calls[0]
    assert func is F.embedding
    assert args[1] is module.weight
    assert kwargs == {**OPTIONS, "padding_idx": 1}


@pytest.mark.parametrize("which", ["input", "weight"])
def test_override_that_refuses_is_a_type_error(which: str, device: str) -> None:
    with pytest.raises(TypeError, match=r"torch\.nn\.functional\.embedding"):
        tembed.embedding(*tensors(device, which, Refuser))


@pytest.mark.parametrize("which", ["input", "weight", "input and weight"])
def test_plain_subclass_gives_what_stock_gives(which: str, device: str) -> None:
    indices, weight = tensors(device, which, Tagged)
    weight.requires_grad_()
    out = tembed.embedding(indices, weight)
    assert type(out) is type(F.embedding(indices, weight))
    assert torch.equal(out, weight[indices])
    out.backward(torch.ones_like(out))
    assert weight.grad.sum(1).tolist() == [0.0, 6.0, 3.0, 0.0]


@pytest.mark.parametrize("default_device", [False, True], ids=["alone", "with a default device"])
def test_mode_sees_stocks_function(default_device: bool, device: str) -> None:
    indices, weight = tensors(device, "", Tagged)
    with torch.device(device) if default_device else nullcontext(), Watcher() as watcher:
        out = tembed.embedding(indices, weight, padding_idx=-1)
    (call,) = [call for call in watcher.calls if call[0] is F.embedding]
    assert call[2][0] is indices
    assert call[2][1] is weight
    assert call[3] == {**DEFAULTS, "padding_idx": -1}
    assert torch.equal(out, weight[indices])


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
    indices, weight = tensors(device, "", Tagged)
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
    indices, weight = tensors(device, "", Tagged)
    with enter(device), tembed.index_checks("immediate"), pytest.raises(IndexError, match="index 8 at position"):
        tembed.embedding(indices + 7, weight, max_norm=0.5)
    assert torch.equal(weight, torch.ones(4, 3, device=device))

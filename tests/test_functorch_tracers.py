"""Lookups under torch.func that are traced, compiled, or of tensors without memory, all of which are torch's own."""

from collections.abc import Callable
from typing import Any

import loops
import pytest
import torch
from loops import CALLS, INDICES
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.func import functionalize, grad, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.testing._internal.two_tensor import TwoTensor

import tembed
from tembed import transforms

GIVEN: dict[str, Any] = {"padding_idx": 2, "scale_grad_by_freq": True}


def lookup(w: Tensor, i: Tensor) -> Tensor:
    return tembed.embedding(i, w, **GIVEN)


def gradient(w: Tensor, i: Tensor) -> Tensor:
    return grad(lambda w: lookup(w, i).sum())(w)


@pytest.fixture(params=[lookup, gradient], ids=["lookup", "gradient"])
def mapped(request: pytest.FixtureRequest) -> Callable[[Tensor, Tensor], Tensor]:
    return vmap(request.param)


@pytest.fixture
def tensors(device: str) -> tuple[Tensor, Tensor]:
    return loops.table(device, calls=CALLS), INDICES.to(device)


@pytest.fixture(autouse=True)
def _not_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results are computed first, by tembed; what the test does then must not come here."""
    tensors, mapped = request.getfixturevalue("tensors"), request.getfixturevalue("mapped")
    request.node.wanted = mapped(*tensors)

    def embedding(*_: Any) -> Tensor:
        raise AssertionError("traced, and looked up by tembed.transforms")

    monkeypatch.setattr(transforms, "embedding", embedding)


@pytest.fixture
def wanted(request: pytest.FixtureRequest) -> Tensor:
    found: Tensor = request.node.wanted
    return found


def test_functionalized(mapped: Any, tensors: Any, wanted: Tensor) -> None:
    assert torch.equal(functionalize(mapped)(*tensors), wanted)


def test_traced_to_operators(mapped: Any, tensors: Any, wanted: Tensor) -> None:
    assert torch.equal(make_fx(mapped)(*tensors)(*tensors), wanted)


@pytest.mark.filterwarnings("ignore")
def test_traced_by_jit(mapped: Any, tensors: Any) -> None:
    (weight, *_), indices = tensors
    one = vmap(lambda i: tembed.embedding(i, weight, scale_grad_by_freq=True))
    traced = torch.jit.trace(one, indices, check_trace=False)
    assert torch.equal(traced(indices.flip(1)), weight[indices.flip(1)])


def test_compiled(mapped: Any, tensors: Any, wanted: Tensor) -> None:
    torch.compiler.reset()
    assert torch.equal(torch.compile(mapped, fullgraph=True, backend="aot_eager")(*tensors), wanted)


def test_of_tensors_without_data(mapped: Any, tensors: Any, wanted: Tensor) -> None:
    found = mapped(*(x.to("meta") for x in tensors))
    assert (found.shape, found.is_meta) == (wanted.shape, True)
    with FakeTensorMode() as mode:
        fake = mapped(*map(mode.from_tensor, tensors))
    assert (fake.shape, fake.device) == (wanted.shape, wanted.device)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = mapped(*tensors)
    assert isinstance(fake, FakeTensor)
    assert (fake.shape, fake.device) == (wanted.shape, wanted.device)


def test_of_a_subclass_with_operations_of_its_own(mapped: Any, tensors: Any, wanted: Tensor) -> None:
    weight, indices = tensors
    found = mapped(TwoTensor(weight, 2 * weight), indices)
    assert isinstance(found, TwoTensor)
    assert torch.equal(found.a, wanted)

"""A bad index: an IndexError that names its value, its position and the table's size, and changes nothing."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed

V = 41  # a number that the message has for no other reason


@pytest.fixture(autouse=True)
def _immediate() -> Iterator[None]:
    with tembed.index_checks("immediate"):
        yield


def assert_names(message: str, value: int, position: list[int]) -> None:
    assert "index out of range in self" in message
    assert re.search(rf"(?<![-\d]){value}(?!\d)", message), message
    assert f"position {position}" in message
    assert re.search(rf"\b{V}\b", message), message


def on(device: str, tensor: Tensor) -> Tensor:
    """The tensor on this device, by the same strides."""
    if device == "cpu":
        return tensor
    size = 1 + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    memory = tensor.as_strided((size,), (1,)).to(device)
    return memory.as_strided(tensor.shape, tensor.stride())


def longs(*values: Any) -> Tensor:
    return torch.tensor(*values, dtype=torch.int64)


def ints(*values: Any) -> Tensor:
    return torch.tensor(*values, dtype=torch.int32)


BLOCK = [[[0, 1, 2], [3, 4, 5]], [[6, 7, 90], [8, -9, 40]]]
CASES: dict[str, tuple[Callable[[], Tensor], int, list[int]]] = {
    "0-d": (lambda: longs(57), 57, []),
    "0-d int32": (lambda: ints(-3), -3, []),
    "just over": (lambda: longs([V - 1, V]), V, [1]),
    "just under": (lambda: longs([0, -1]), -1, [1]),
    "minus V": (lambda: longs([0, 3, -V]), -V, [2]),
    "one position": (lambda: ints([99]), 99, [0]),
    "3-D": (lambda: longs(BLOCK), 90, [1, 0, 2]),
    "3-D int32": (lambda: ints(BLOCK), 90, [1, 0, 2]),
    "transposed": (lambda: longs([[0, 1], [90, 2], [3, 80]]).t(), 90, [0, 1]),
    "every second": (lambda: longs([1, 90, 2, 91, 77, 3])[::2], 77, [2]),
    "offset int32": (lambda: ints([90, 1, 2, 3, 78])[1:], 78, [3]),
    "expanded": (lambda: longs([[1], [90]]).expand(2, 3), 90, [1, 0]),
    "int32 minimum": (lambda: ints([0, -(2**31)]), -(2**31), [1]),
    "int32 maximum": (lambda: ints([0, 2**31 - 1]), 2**31 - 1, [1]),
    "int64 minimum": (lambda: longs([0, -(2**63)]), -(2**63), [1]),
    "int64 maximum": (lambda: longs([0, 2**63 - 1]), 2**63 - 1, [1]),
    # of which the low half is a good index
    "int64 beyond 32 bits": (lambda: longs([0, 2**32 + 1]), 2**32 + 1, [1]),
    "int64 below 32 bits": (lambda: longs([0, -(2**32) + 1]), -(2**32) + 1, [1]),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"padding_idx": 1},
    "max_norm": {"max_norm": 1.0},
    "scale": {"scale_grad_by_freq": True},
    "sparse": {"sparse": True},
    "all": {"padding_idx": -1, "max_norm": 1.0, "norm_type": 1.0, "scale_grad_by_freq": True, "sparse": True},
}


@pytest.mark.parametrize("requires_grad", [False, True], ids=["frozen", "trained"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("make", "value", "position"), CASES.values(), ids=CASES)
def test_bad_index_is_named_and_changes_nothing(
    make: Callable[[], Tensor],
    value: int,
    position: list[int],
    options: dict[str, Any],
    requires_grad: bool,
    device: str,
) -> None:
    weight = torch.full((V, 2), 9.0, device=device, requires_grad=requires_grad)
    indices = on(device, make())
    with pytest.raises(IndexError) as caught:
        tembed.embedding(indices, weight, **options)
    assert_names(str(caught.value), value, position)
    assert torch.equal(weight.detach().cpu(), torch.full((V, 2), 9.0))
    assert weight._version == 0


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_first_bad_index_is_named(options: dict[str, Any], device: str) -> None:
    indices = torch.tensor([[1, 2, 60], [-70, 80, 3]], device=device)
    with pytest.raises(IndexError) as caught:
        tembed.embedding(indices, torch.ones(V, 2, device=device), **options)
    assert_names(str(caught.value), 60, [0, 2])
    assert not re.search("70|80", str(caught.value))


@pytest.mark.parametrize("value", [-1, V])
def test_bad_index_equal_to_unwrapped_padding_is_bad(value: int, device: str) -> None:
    with pytest.raises(IndexError, match="index out of range in self"):
        tembed.embedding(torch.tensor([value], device=device), torch.ones(V, 2, device=device), padding_idx=-1)


@pytest.mark.parametrize(
    "dtype",
    [torch.float16, torch.bfloat16, torch.float64, torch.complex64, torch.bool, torch.int16, torch.float8_e5m2],
    ids=str,
)
def test_bad_index_is_named_for_every_dtype(dtype: torch.dtype, device: str) -> None:
    with pytest.raises(IndexError) as caught:
        tembed.embedding(torch.tensor([0, 50], device=device), torch.ones(V, 2, device=device).to(dtype))
    assert_names(str(caught.value), 50, [1])


@pytest.mark.parametrize("shape", [(V, 0), (V, 1), (V, 300)], ids=str)
def test_bad_index_is_named_for_every_width(shape: tuple[int, int], device: str) -> None:
    with pytest.raises(IndexError) as caught:
        tembed.embedding(torch.tensor([0, 50], device=device), torch.ones(shape, device=device))
    assert_names(str(caught.value), 50, [1])


@pytest.mark.parametrize(
    "make",
    [
        lambda w: w.t().contiguous().t(),
        lambda w: w[:, ::2],
        lambda w: w[:1].expand(V, 4),
        lambda w: w[:, :1].expand(V, 4),
    ],
    ids=["transposed", "every second column", "one row", "one column"],
)
def test_bad_index_is_named_for_every_layout(make: Callable[[Tensor], Tensor], device: str) -> None:
    weight = make(torch.ones(V, 4, device=device))
    with pytest.raises(IndexError) as caught:
        tembed.embedding(torch.tensor([0, 50], device=device), weight)
    assert_names(str(caught.value), 50, [1])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_bad_index_is_named_in_every_grad_mode(mode: Any, options: dict[str, Any], device: str) -> None:
    module = tembed.Embedding(V, 2, device=device, **options)
    before = module.weight.detach().clone()
    with mode(), pytest.raises(IndexError) as caught:
        module(torch.tensor([0, 50], device=device))
    assert_names(str(caught.value), 50, [1])
    assert torch.equal(module.weight.detach(), before)


def test_good_call_works_after_a_bad_one(device: str) -> None:
    module = tembed.Embedding(V, 2, device=device)
    with pytest.raises(IndexError):
        module(torch.tensor([50], device=device))
    module(torch.tensor([3, 3], device=device)).sum().backward()
    assert module.weight.grad.sum(1).nonzero().tolist() == [[3]]
    assert module.weight.grad[3].tolist() == [2.0, 2.0]

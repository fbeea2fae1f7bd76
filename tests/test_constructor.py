"""Embedding(...): the constructor, initial values and attributes of torch.nn.Embedding."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tembed

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]
ALL_OPTIONS = {"padding_idx": 1, "max_norm": 2.0, "norm_type": 3.0, "scale_grad_by_freq": True, "sparse": True}


class Tagged(Tensor):
    """A tensor subclass with nothing of its own."""


def outcome(call: Callable[[], Any]) -> tuple[type | None, str]:
    """The exception's type and message, or no type and the result's repr."""
    try:
        return None, repr(call())
    except Exception as error:
        return type(error), str(error)


def random_state(device: str) -> Tensor:
    return torch.cuda.get_rng_state() if device == "cuda" else torch.get_rng_state()


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())


def test_embedding_is_an_nn_embedding() -> None:
    assert issubclass(tembed.Embedding, torch.nn.Embedding)
    assert isinstance(tembed.Embedding(2, 2), torch.nn.Embedding)


PAD = "Padding_idx must be within num_embeddings"
FLOATING = "Only Tensors of floating point and complex dtype can require gradients"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "text"),
    [
        pytest.param((4, 3), {"padding_idx": 4}, AssertionError, PAD, id="padding too large"),
        pytest.param((4, 3), {"padding_idx": -5}, AssertionError, PAD, id="padding too negative"),
        pytest.param((2**40, 2**20), {"padding_idx": 2**40}, AssertionError, PAD, id="padding, before allocation"),
        pytest.param((0, 3), {"padding_idx": 0}, IndexError, "index 0 is out of bounds for dimension 0 with size 0",
                     id="N=0, padding 0"),
        pytest.param((0, 3), {"padding_idx": 1}, AssertionError, PAD, id="N=0, padding 1"),
        pytest.param((0, 3), {"padding_idx": -1}, AssertionError, PAD, id="N=0, padding -1"),
        pytest.param((4, 3), {"padding_idx": 1.0}, IndexError, "only integers, slices (", id="padding float"),
        pytest.param((4, 3), {"padding_idx": "a"}, TypeError,
                     "'>' not supported between instances of 'str' and 'int'", id="padding str"),
        pytest.param((4, 3), {"_weight": torch.ones(3, 4)}, AssertionError,
                     "Shape of weight does not match num_embeddings and embedding_dim", id="_weight shape"),
        pytest.param((4, 3), {"_weight": torch.ones(4)}, AssertionError,
                     "Shape of weight does not match num_embeddings and embedding_dim", id="_weight rank"),
        pytest.param((-1, 3), {}, RuntimeError, "Trying to create tensor with negative dimension -1: [-1, 3]",
                     id="N negative"),
        pytest.param((2.0, 3), {}, TypeError, "empty(): argument 'size' (position 1) must be tuple of ints, ",
                     id="N float"),
        pytest.param((4, 3), {"dtype": torch.int64}, RuntimeError, FLOATING, id="int64"),
        pytest.param((4, 3), {"dtype": torch.bool}, RuntimeError, FLOATING, id="bool"),
        pytest.param((4, 3), {"dtype": torch.int64, "_freeze": True}, NotImplementedError,
                     " not implemented for 'Long'", id="int64 frozen"),
        pytest.param((4, 3), {"dtype": torch.bool, "_freeze": True}, NotImplementedError,
                     " not implemented for 'Bool'", id="bool frozen"),
        pytest.param((4, 3), {"dtype": torch.float8_e4m3fn}, NotImplementedError,
                     " not implemented for 'Float8_e4m3fn'", id="float8"),
        pytest.param((4, 3), {"dtype": torch.float8_e5m2, "_freeze": True}, NotImplementedError,
                     " not implemented for 'Float8_e5m2'", id="float8 frozen"),
    ],
)  # fmt: skip
def test_constructor_raises_what_stock_raises(
    arguments: tuple[Any, ...], options: dict[str, Any], error: type, text: str, device: str
) -> None:
    ours = outcome(lambda: tembed.Embedding(*arguments, device=device, **options))
    assert ours[0] is error
    assert text in ours[1]
    assert ours == outcome(lambda: torch.nn.Embedding(*arguments, device=device, **options))


@pytest.mark.parametrize(("given", "stored"), [(None, None), (0, 0), (3, 3), (-1, 3), (-4, 0)])
def test_constructor_wraps_padding_idx(given: int | None, stored: int | None, device: str) -> None:
    assert tembed.Embedding(4, 3, padding_idx=given, device=device).padding_idx == stored


@pytest.mark.parametrize("padding_idx", [torch.tensor(1), torch.tensor(-3), np.int64(1), np.int64(-3)], ids=repr)
def test_constructor_accepts_integers_of_other_libraries(padding_idx: Any, device: str) -> None:
    module = tembed.Embedding(4, 3, padding_idx=padding_idx, device=device)
    assert module.padding_idx == 1
    assert same(module.weight[1], torch.zeros(3))
    module(torch.tensor([1, 2], device=device)).sum().backward()
    assert same(module.weight.grad.sum(1), torch.tensor([0.0, 0, 3, 0]))


def test_constructor_accepts_padding_of_an_empty_weight(device: str) -> None:
    module = tembed.Embedding(0, 3, padding_idx=0, _weight=torch.empty(0, 3, device=device))
    assert module.padding_idx == 0


@pytest.mark.parametrize("padding_idx", [None, 1, -1])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_constructor_draws_what_stock_draws(dtype: torch.dtype, padding_idx: int | None, device: str) -> None:
    torch.manual_seed(3)
    ours = tembed.Embedding(4, 3, padding_idx=padding_idx, device=device, dtype=dtype).weight
    end = random_state(device)
    torch.manual_seed(3)
    stock = torch.nn.Embedding(4, 3, padding_idx=padding_idx, device=device, dtype=dtype).weight
    assert same(ours, stock)
    torch.manual_seed(3)
    plain = torch.empty(4, 3, device=device, dtype=dtype).normal_()
    assert torch.equal(end, random_state(device))
    if padding_idx is not None:
        plain[padding_idx] = 0
    assert same(ours, plain)


@pytest.mark.parametrize(("padding_idx", "version"), [(None, 1), (0, 2), (-1, 2)])
def test_constructor_counts_its_changes(padding_idx: int | None, version: int, device: str) -> None:
    assert tembed.Embedding(4, 3, padding_idx=padding_idx, device=device).weight._version == version


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)], ids=str)
def test_constructor_accepts_empty_tables(shape: tuple[int, int], device: str) -> None:
    module = tembed.Embedding(*shape, device=device)
    assert module.weight.shape == shape
    assert module(torch.empty(2, 0, dtype=torch.int64, device=device)).shape == (2, 0, shape[1])


def test_constructor_on_meta_draws_nothing() -> None:
    before = torch.get_rng_state()
    module = tembed.Embedding(4, 3, padding_idx=1, device="meta", dtype=torch.float16)
    assert module.weight.is_meta
    assert module.weight.dtype == torch.float16
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("freeze", [False, True])
def test_constructor_freezes(freeze: bool, device: str) -> None:
    assert tembed.Embedding(4, 3, _freeze=freeze, device=device).weight.requires_grad is not freeze
    given = tembed.Embedding(4, 3, _weight=torch.ones(4, 3, device=device), _freeze=freeze)
    assert given.weight.requires_grad is not freeze


@pytest.mark.parametrize("name", ["max_norm", "norm_type", "scale_grad_by_freq", "sparse"])
@pytest.mark.parametrize("value", [-1, "a", None, object()], ids=["-1", "str", "None", "object"])
def test_constructor_does_not_validate(name: str, value: Any) -> None:
    assert getattr(tembed.Embedding(4, 3, **{name: value}), name) is value


def test_constructor_takes_stock_positions(device: str) -> None:
    weight = torch.ones(4, 3, device=device)
    module = tembed.Embedding(4, 3, *ALL_OPTIONS.values(), weight, True)
    assert {name: getattr(module, name) for name in ALL_OPTIONS} == ALL_OPTIONS
    assert module.weight.data_ptr() == weight.data_ptr()
    assert not module.weight.requires_grad


def test_weight_given_is_shared_unchanged(device: str) -> None:
    weight = torch.randn(3, 4, device=device).t()
    kept, before = weight.clone(), random_state(device)
    module = tembed.Embedding(4, 3, padding_idx=1, _weight=weight, device="meta", dtype=torch.float16)
    assert isinstance(module.weight, torch.nn.Parameter)
    assert module.weight.data_ptr() == weight.data_ptr()
    assert module.weight.stride() == (1, 4)
    assert module.weight.dtype == torch.float32
    assert module.weight._version == weight._version == 0
    assert same(weight, kept)
    assert torch.equal(before, random_state(device))


def test_weight_given_becomes_a_leaf(device: str) -> None:
    source = torch.ones(4, 3, device=device, requires_grad=True)
    module = tembed.Embedding(4, 3, _weight=source * 2)
    assert module.weight.is_leaf
    module(torch.tensor([1], device=device)).sum().backward()
    assert source.grad is None
    assert module.weight.grad is not None


def test_weight_given_keeps_its_type(device: str) -> None:
    module = tembed.Embedding(4, 3, _weight=torch.ones(4, 3, device=device).as_subclass(Tagged))
    assert type(module.weight) is Tagged
    assert isinstance(module.weight, torch.nn.Parameter)

"""Embedding.from_pretrained: what torch.nn.Embedding.from_pretrained does with a table that exists."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import tembed

OPTIONS = {"padding_idx": 1, "max_norm": 2.0, "norm_type": 3.0, "scale_grad_by_freq": True, "sparse": True}


def raised(cls: type, *arguments: Any, **options: Any) -> tuple[type, str]:
    try:
        cls.from_pretrained(*arguments, **options)
    except Exception as error:
        return type(error), str(error)
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("source", "options", "error", "text"),
    [
        pytest.param(torch.ones(3), {}, AssertionError, "Embeddings parameter is expected to be 2-dimensional",
                     id="1-D"),
        pytest.param(torch.ones(2, 3, 4), {}, AssertionError, "Embeddings parameter is expected to be 2-dimensional",
                     id="3-D"),
        pytest.param([[1.0]], {}, AttributeError, "has no attribute 'dim'", id="list"),
        pytest.param(np.ones((2, 2)), {}, AttributeError, "has no attribute 'dim'", id="ndarray"),
        pytest.param(torch.ones(2, 2, dtype=torch.int64), {"freeze": False}, RuntimeError,
                     "Only Tensors of floating point and complex dtype can require gradients", id="int64 not frozen"),
        pytest.param(torch.ones(2, 2, dtype=torch.bool), {"freeze": False}, RuntimeError,
                     "Only Tensors of floating point and complex dtype can require gradients", id="bool not frozen"),
        pytest.param(torch.ones(2, 2), {"padding_idx": 2}, AssertionError,
                     "Padding_idx must be within num_embeddings", id="padding"),
    ],
)  # fmt: skip
def test_from_pretrained_raises_what_stock_raises(
    source: Any, options: dict[str, Any], error: type, text: str, device: str
) -> None:
    source = source.to(device) if isinstance(source, Tensor) else source
    ours = raised(tembed.Embedding, source, **options)
    assert ours[0] is error
    assert text in ours[1]
    assert ours == raised(torch.nn.Embedding, source, **options)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn], ids=str)
def test_from_pretrained_freezes_any_dtype(dtype: torch.dtype, device: str) -> None:
    module = tembed.Embedding.from_pretrained(torch.ones(3, 2, device=device).to(dtype))
    assert type(module) is tembed.Embedding
    assert module.weight.dtype == dtype
    assert not module.weight.requires_grad
    assert module(torch.tensor([2, 0], device=device)).dtype == dtype


@pytest.mark.parametrize("freeze", [False, True])
def test_from_pretrained_shares_storage_and_version(freeze: bool, device: str) -> None:
    source = torch.ones(4, 3, device=device)
    source.mul_(2)
    module = tembed.Embedding.from_pretrained(source, freeze=freeze, padding_idx=1)
    assert module.weight.requires_grad is not freeze
    assert module.weight.data_ptr() == source.data_ptr()
    assert module.weight._version == source._version == 1
    assert module.weight[1].tolist() == [2.0, 2.0, 2.0]
    source.add_(1)
    assert module.weight._version == source._version == 2
    assert module.weight[1].tolist() == [3.0, 3.0, 3.0]


def test_from_pretrained_freezes_by_default(device: str) -> None:
    source = torch.ones(4, 3, device=device, requires_grad=True)
    assert not tembed.Embedding.from_pretrained(source).weight.requires_grad


@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "computed"])
def test_from_pretrained_keeps_gradients_from_the_source(leaf: bool, device: str) -> None:
    source = torch.ones(4, 3, device=device, requires_grad=True)
    module = tembed.Embedding.from_pretrained(source if leaf else source * 1, freeze=False)
    module(torch.tensor([1, 1, 3], device=device)).sum().backward()
    assert module.weight.grad.tolist() == [[0.0] * 3, [2.0] * 3, [0.0] * 3, [1.0] * 3]
    assert source.grad is None


def test_from_pretrained_passes_every_option(device: str) -> None:
    module = tembed.Embedding.from_pretrained(torch.ones(4, 3, device=device), freeze=False, **OPTIONS)
    assert {name: getattr(module, name) for name in OPTIONS} == OPTIONS
    assert (module.num_embeddings, module.embedding_dim) == (4, 3)


def test_from_pretrained_takes_stock_positions(device: str) -> None:
    module = tembed.Embedding.from_pretrained(torch.ones(4, 3, device=device), False, *OPTIONS.values())
    assert {name: getattr(module, name) for name in OPTIONS} == OPTIONS
    assert module.weight.requires_grad


def test_from_pretrained_calls_a_subclass_with_keywords(device: str) -> None:
    received: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    class Recorder(tembed.Embedding):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            received.append((args, kwargs))
            super().__init__(*args, **kwargs)

    source = torch.ones(4, 3, device=device)
    module = Recorder.from_pretrained(source, freeze=False, **OPTIONS)
    ((args, kwargs),) = received
    assert type(module) is Recorder
    assert args == ()
    assert kwargs.pop("_weight") is source
    assert kwargs == {"num_embeddings": 4, "embedding_dim": 3, "_freeze": False, **OPTIONS}


@pytest.mark.parametrize("sparse", [False, True])
def test_from_pretrained_options_reach_the_gradient(sparse: bool, device: str) -> None:
    module = tembed.Embedding.from_pretrained(
        torch.ones(4, 2, device=device), freeze=False, padding_idx=0, scale_grad_by_freq=True, sparse=sparse
    )
    module(torch.tensor([0, 2, 2], device=device)).sum().backward()
    assert module.weight.grad.is_sparse is sparse
    assert module.weight.grad.to_dense().tolist() == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]


def test_from_pretrained_frozen_is_still_renormed(device: str) -> None:
    source = torch.full((4, 1), 8.0, device=device)
    module = tembed.Embedding.from_pretrained(source, max_norm=1.0, norm_type=1.0)
    module(torch.tensor([2], device=device))
    assert source.reshape(-1).tolist() == pytest.approx([8.0, 8.0, 1.0, 8.0])

"""What Embedding shows and keeps: repr, state_dict, copies, pickles, reset_parameters; all as torch.nn.Embedding."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed

ALL_OPTIONS = {"padding_idx": 1, "max_norm": 2.0, "norm_type": 3.0, "scale_grad_by_freq": True, "sparse": True}


def same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "Embedding(4, 3)"),
        (ALL_OPTIONS,
         "Embedding(4, 3, padding_idx=1, max_norm=2.0, norm_type=3.0, scale_grad_by_freq=True, sparse=True)"),
        ({"padding_idx": -1}, "Embedding(4, 3, padding_idx=3)"),
        ({"max_norm": 0.0, "norm_type": 2}, "Embedding(4, 3, max_norm=0.0)"),
        ({"scale_grad_by_freq": 0, "sparse": 0}, "Embedding(4, 3, scale_grad_by_freq=0, sparse=True)"),
        ({"_freeze": True}, "Embedding(4, 3)"),
    ],
    ids=["none", "all", "padding", "norm", "not False", "frozen"],
)  # fmt: skip
def test_repr_is_stocks(options: dict[str, Any], text: str) -> None:
    assert repr(tembed.Embedding(4, 3, **options)) == repr(torch.nn.Embedding(4, 3, **options)) == text


def test_module_has_stocks_state_and_constants(device: str) -> None:
    module = tembed.Embedding(4, 3, device=device, **ALL_OPTIONS)
    assert list(module.state_dict()) == ["weight"]
    assert module.__constants__ == [
        "num_embeddings", "embedding_dim", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse"
    ]  # fmt: skip


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_module_survives(duplicate: Callable[[torch.nn.Module], torch.nn.Module], device: str) -> None:
    module = tembed.Embedding(4, 3, device=device, _freeze=True, **ALL_OPTIONS)
    twin = duplicate(module)
    assert type(twin) is tembed.Embedding
    assert repr(twin) == repr(module)
    assert same(twin.weight, module.weight)
    assert twin.weight.data_ptr() != module.weight.data_ptr()
    assert not twin.weight.requires_grad


def test_load_state_dict_overwrites_padding(device: str) -> None:
    module, stock = (cls(4, 3, padding_idx=1, device=device) for cls in (tembed.Embedding, torch.nn.Embedding))
    with torch.no_grad():
        stock.weight[1] = 5
    module.load_state_dict(stock.state_dict())
    assert same(module.weight, stock.weight)


@pytest.mark.parametrize("freeze", [False, True])
def test_reset_parameters_redraws(freeze: bool, device: str) -> None:
    modules = [cls(4, 3, 1, _freeze=freeze, device=device) for cls in (tembed.Embedding, torch.nn.Embedding)]
    for module in modules:
        module.weight.data.fill_(7)
        torch.manual_seed(5)
        module.reset_parameters()
    assert same(modules[0].weight, modules[1].weight)
    assert same(modules[0].weight[1], torch.zeros(3))
    assert not (modules[0].weight == 7).any()
    assert modules[0].weight.requires_grad is not freeze

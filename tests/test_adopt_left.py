"""replace_embeddings leaves alone what is more than a plain embedding, and says why."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from adopted import Inherits, Scaled
from torch import nn
from torch.nn.utils import parametrizations

import tembed


def forward_on_the_instance() -> nn.Module:
    module: Any = nn.Embedding(6, 3)
    old = module.forward
    module.forward = lambda input: old(input) + 1
    return module


def hooked_by_accelerate() -> nn.Module:
    hooks = pytest.importorskip("accelerate.hooks", reason="needs accelerate, which peft brings")
    return hooks.add_hook_to_module(nn.Embedding(6, 3), hooks.ModelHook())


def quantization_aware() -> nn.Module:
    config = torch.ao.quantization.float_qparams_weight_only_qconfig
    return torch.ao.nn.qat.Embedding(6, 3, qconfig=config)


LEFT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "own forward": (lambda: Scaled(6, 3), r"a subclass with its own forward, \S*adopted\.Scaled"),
    "no forward": (lambda: Inherits(6, 3), r"a subclass, \S*adopted\.Inherits: derive it from tembed\.Embedding"),
    "parametrized": (lambda: parametrizations.orthogonal(nn.Embedding(6, 3)), "parametrized: replace before that"),
    "instance": (forward_on_the_instance, "its forward was set on the instance"),
    "accelerate": (hooked_by_accelerate, "its forward was set on the instance"),
    "scripted": (lambda: torch.jit.script(nn.Embedding(6, 3)), "compiled by TorchScript"),
    "traced": (lambda: torch.jit.trace(nn.Embedding(6, 3), torch.tensor([1])), "compiled by TorchScript"),
    "qat": (quantization_aware, r"a subclass with its own forward, torch\.ao\.nn\.qat\S*\.Embedding"),
}


@pytest.mark.parametrize("case", LEFT)
def test_others_are_left_alone_and_listed(case: str) -> None:
    build, reason = LEFT[case]
    module = build()
    model = nn.ModuleDict({"other": module, "plain": nn.Embedding(6, 3), "again": module})
    kind, input = type(module), torch.tensor([[1, 3], [3, 0]])
    out = module(input)
    report = tembed.replace_embeddings(model)
    assert report.replaced == ("plain",)
    assert list(report.left) == ["other", "again"]
    assert re.match(reason, report.left["other"]), report
    assert type(module) is kind
    assert torch.equal(module(input), out)
    report.revert()
    assert type(module) is kind


def test_a_scripted_model_lists_its_embeddings_alone() -> None:
    model = torch.jit.script(nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 3)))
    assert list(tembed.replace_embeddings(model).left) == ["0"]

"""What replace_embeddings reports, and the way back."""

import gc
import weakref
from typing import Any

import pytest
import torch
from adopted import INDICES, OURS, STOCK, Model, Own, Scaled
from torch import Tensor, nn

import tembed
from tembed.adopt import Replacement


@pytest.fixture
def indices(device: str) -> Tensor:
    return INDICES.to(device)


def test_dry_run_changes_nothing_and_reports_the_same(device: str) -> None:
    model = nn.ModuleDict({"model": Model(device), "own": Own(6, 3), "scaled": Scaled(6, 3)})
    kinds = [type(module) for module in model.modules()]
    dry = tembed.replace_embeddings(model, dry_run=True)
    assert [type(module) for module in model.modules()] == kinds
    dry.revert()
    assert [type(module) for module in model.modules()] == kinds
    done = tembed.replace_embeddings(model)
    assert dry == done
    assert (dry.dry_run, done.dry_run) == (True, False)
    dry.revert()
    assert type(model["model"].words) is OURS


def test_a_second_call_replaces_nothing_and_says_so() -> None:
    model = nn.Sequential(Model(), Own(6, 3))
    first, second = tembed.replace_embeddings(model), tembed.replace_embeddings(model)
    assert first.already == ("1",)
    assert second == Replacement((), (*first.replaced, "1"), {})
    second.revert()
    assert type(model[0].words) is OURS


def test_a_report_reads_as_a_list() -> None:
    model = nn.Sequential(nn.Embedding(6, 3), Own(6, 3), Scaled(6, 3))
    reason = f"a subclass with its own forward, {Scaled.__module__}.Scaled"
    rest = f"already tembed.Embedding: 1\nleft alone:\n  2: {reason}"
    assert str(tembed.replace_embeddings(model, dry_run=True)) == f"would replace: 0\n{rest}"
    assert str(tembed.replace_embeddings(model)) == f"replaced: 0\n{rest}"
    assert (
        repr(tembed.replace_embeddings(model[0])) == "Replacement(replaced=(), already=('',), left={}, dry_run=False)"
    )
    assert str(tembed.replace_embeddings(model[2])) == f"replaced: none\nleft alone:\n  (the model itself): {reason}"


def test_revert_puts_back_what_this_call_replaced() -> None:
    model = nn.Sequential(nn.Embedding(6, 3))
    first = tembed.replace_embeddings(model)
    model.extend([nn.Embedding(6, 3), OURS(6, 3)])
    second = tembed.replace_embeddings(model)
    second.revert()
    assert [type(module) for module in model] == [OURS, STOCK, OURS]
    first.revert()
    assert [type(module) for module in model] == [STOCK, STOCK, OURS]


def test_revert_is_done_once() -> None:
    model = nn.Sequential(nn.Embedding(6, 3))
    first = tembed.replace_embeddings(model)
    first.revert()
    tembed.replace_embeddings(model)
    first.revert()
    assert type(model[0]) is OURS


def test_revert_finds_modules_that_moved_and_keeps_what_they_learnt(device: str, indices: Tensor) -> None:
    model = nn.ModuleDict({"a": nn.Embedding(6, 3, device=device), "b": nn.Embedding(6, 3, device=device)})
    report, (a, b) = tembed.replace_embeddings(model), model.values()
    elsewhere = nn.ModuleDict({"moved": model.pop("a")})
    optimizer = torch.optim.SGD(elsewhere.parameters(), lr=0.5)
    a(indices).sum().backward()
    optimizer.step()
    learnt = a.weight.detach().clone()
    b.__class__ = STOCK  # by hand; nothing is left to do for it
    report.revert()
    assert [type(a), type(b)] == [STOCK, STOCK]
    assert torch.equal(a.weight, learnt)


def test_revert_changes_all_or_none() -> None:
    model: Any = nn.Sequential(nn.Embedding(6, 3), nn.Embedding(6, 3))
    report = tembed.replace_embeddings(model)
    model[1].forward = model[1].forward
    with pytest.raises(RuntimeError, match=r"'1' \(a forward of its own\)"):
        report.revert()
    assert [type(module) for module in model] == [OURS, OURS]
    del model[1].forward
    report.revert()
    assert [type(module) for module in model] == [STOCK, STOCK]


def test_a_report_keeps_no_module_alive() -> None:
    model = nn.Sequential(nn.Embedding(6, 3), nn.Embedding(6, 3))
    report, (gone, here) = tembed.replace_embeddings(model), model
    ref = weakref.ref(gone)
    del model, gone
    gc.collect()
    assert ref() is None
    report.revert()
    assert type(here) is STOCK


def test_an_interruption_changes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(*(nn.Embedding(6, 3) for _ in range(3)))

    def interrupted(module: nn.Module, name: str, value: Any) -> None:
        if module is model[2] and value is OURS:
            raise KeyboardInterrupt
        nn.Module.__setattr__(module, name, value)

    monkeypatch.setattr(STOCK, "__setattr__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tembed.replace_embeddings(model)
    assert [type(module) for module in model] == [STOCK] * 3

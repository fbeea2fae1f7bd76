"""replace_embeddings on small modules: what is replaced, what it keeps, and whose lookups and gradients it has then."""

import copy
import io
from typing import Any

import pytest
import torch
from adopted import INDICES, NAMES, OURS, STOCK, Model, is_ours, kept
from torch import Tensor, nn

import tembed
from tembed.adopt import Replacement


@pytest.fixture
def indices(device: str) -> Tensor:
    return INDICES.to(device)


def test_every_plain_embedding_changes_its_class_and_nothing_else(device: str, indices: Tensor) -> None:
    model = Model(device).eval()
    model.inner.train()
    model.words.weight.requires_grad_(False)
    model.words.register_forward_hook(lambda *_: None)
    before = {name: (module, kept(module)) for name, module in model.named_modules()}
    state, out = model.state_dict(), model(indices)
    report = tembed.replace_embeddings(model)
    assert report == Replacement(NAMES, (), {})
    assert {name: (module, kept(module)) for name, module in model.named_modules()} == before
    assert [type(module) for module in (model.words, model.inner[0], model.bags)] == [OURS, OURS, nn.EmbeddingBag]
    assert model.shared is model.words
    assert list(model.state_dict()) == list(state)
    assert torch.equal(model(indices), out)
    assert is_ours(model.words, indices)
    assert is_ours(model.inner[0], indices)


def test_a_model_may_be_an_embedding_itself(device: str, indices: Tensor) -> None:
    module = nn.Embedding(6, 3, device=device)
    assert tembed.replace_embeddings(module).replaced == ("",)
    assert is_ours(module, indices)


def test_a_model_that_holds_itself_is_gone_through_once() -> None:
    model = Model()
    model.inner.append(model)
    assert tembed.replace_embeddings(model).replaced == NAMES


def test_gradients_are_ours(device: str, indices: Tensor) -> None:
    model = Model(device)
    tembed.replace_embeddings(model)
    model.words(indices).sum().backward()
    assert model.words.weight.grad is not None
    assert model.words.weight.grad.is_coalesced()


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
def test_hooks_run_before_and_after(device: str, indices: Tensor) -> None:
    model, seen = Model(device), []
    model.words.register_forward_pre_hook(lambda module, args: seen.append("before"))
    model.words.register_forward_hook(lambda module, args, out: out * 2)
    model.words.register_full_backward_pre_hook(lambda *_: seen.append("backward"))
    expected = model.words(indices)
    tembed.replace_embeddings(model)
    out = model.words(indices)
    assert torch.equal(out, expected)
    out.sum().backward()
    assert seen == ["before", "before", "backward"]


@pytest.mark.parametrize("other", [nn.Linear(3, 3), nn.Sequential(), nn.LazyLinear(3), nn.EmbeddingBag(6, 3)], ids=str)
def test_a_model_without_embeddings_is_left(other: nn.Module) -> None:
    kind, before = type(other), kept(other)
    assert tembed.replace_embeddings(other) == Replacement((), (), {})
    assert type(other) is kind
    assert kept(other) == before


@pytest.mark.parametrize("wrong", [None, "gpt2", [nn.Embedding(2, 2)], nn.Embedding, {"a": 1}], ids=repr)
def test_what_is_no_module_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"model must be a torch.nn.Module, not {type(wrong).__name__}"):
        tembed.replace_embeddings(wrong)


def test_copies_and_pickles_of_a_replaced_model_are_ours(device: str, indices: Tensor) -> None:
    model = Model(device)
    report = tembed.replace_embeddings(model)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other(indices), model(indices))
        assert other.shared is other.words
        assert tembed.replace_embeddings(other).already == NAMES
        report.revert()
        assert type(other.words) is OURS


def test_state_moves_between_stock_and_replaced_models(device: str, indices: Tensor) -> None:
    stock, ours = Model(device), Model(device)
    tembed.replace_embeddings(ours)
    for source, target in ((stock, ours), (ours, Model(device))):
        assert str(target.load_state_dict(source.state_dict())) == "<All keys matched successfully>"
        assert torch.equal(target(indices), stock(indices))


def test_a_model_on_the_meta_device_is_replaced(device: str, indices: Tensor) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 2))
    assert tembed.replace_embeddings(model).replaced == ("0",)
    assert model[0](torch.empty(2, 3, dtype=torch.int64, device="meta")).shape == (2, 3, 3)
    model.to_empty(device=device)
    assert is_ours(model[0], indices)


def test_a_lazy_model_is_replaced(device: str, indices: Tensor) -> None:
    model = nn.Sequential(nn.Embedding(6, 3, device=device), nn.LazyLinear(2, device=device))
    assert tembed.replace_embeddings(model).replaced == ("0",)
    assert model(indices).shape == (2, 3, 2)


def test_plain_is_torchs_own_class_whatever_its_name_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.Embedding(6, 3), OURS(6, 3))
    monkeypatch.setattr(torch.nn, "Embedding", OURS)
    report = tembed.replace_embeddings(model)
    assert (report.replaced, report.already) == (("0",), ("1",))
    report.revert()
    assert [type(module) for module in model] == [STOCK, OURS]

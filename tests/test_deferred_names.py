"""Errors about a bad index name the module whose table it was looked up in."""

import pytest
import torch
from deferred import BAD, told

import tembed


def test_the_module_is_named_however_its_table_is_held(deferring: str) -> None:
    model = torch.nn.ModuleDict({"wte": torch.nn.Embedding(6, 3), "wpe": tembed.Embedding(6, 3)}).to(deferring)
    change = tembed.replace_embeddings(model)
    indices = torch.tensor(BAD, device=deferring)
    for name in ("wte", "wpe"):
        model[name](indices)
        assert f"in a table of 6 rows, that of {name!r}; found" in told()
        tembed.embedding(indices, model[name].weight.detach())
        assert f"that of {name!r}" in told()
        with tembed.index_checks("immediate"):
            assert told(lambda name=name: model[name](indices)).endswith(f"that of {name!r}")  # type: ignore[misc]
    change.revert()
    tembed.embedding(indices, model["wte"].weight)
    assert "that of" not in told()


def test_a_name_that_was_given_is_kept(deferring: str) -> None:
    model = torch.nn.ModuleDict({"wte": torch.nn.Embedding(6, 3), "wpe": tembed.Embedding(6, 3)}).to(deferring)
    indices = torch.tensor(BAD, device=deferring)
    assert set(tembed.name_embeddings(model, "model.embeddings")) == {"model.embeddings.wte", "model.embeddings.wpe"}
    change = tembed.replace_embeddings(model)
    for revert in (False, True):
        if revert:
            change.revert()
        for name in ("wte", "wpe"):
            tembed.embedding(indices, model[name].weight)
            assert f"that of 'model.embeddings.{name}'" in told()
    tembed.replace_embeddings(model["wte"])
    model["wte"](indices)
    assert "that of 'model.embeddings.wte'" in told()


def test_a_module_with_two_places_has_one_name_which_is_taken_back(deferring: str) -> None:
    shared = torch.nn.Embedding(6, 3, device=deferring)
    model = torch.nn.Module()
    model.x, model.y = torch.nn.Sequential(shared), shared
    change = tembed.replace_embeddings(model)
    indices = torch.tensor(BAD, device=deferring)
    shared(indices)
    assert "that of 'x.0'" in told()
    change.revert()
    tembed.embedding(indices, shared.weight)
    assert "that of" not in told()


def test_names_need_a_module() -> None:
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, not list"):
        tembed.name_embeddings([])  # type: ignore[arg-type]

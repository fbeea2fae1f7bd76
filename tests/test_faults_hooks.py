"""Hooks that raise in the middle of a step: tables and gradients as stock leaves them, and the next step as stock's."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tembed

OPTIONS: dict[str, dict[str, Any]] = {
    "dense": {"padding_idx": 2},
    "sparse": {"sparse": True, "padding_idx": 2},
    "max_norm": {"max_norm": 3.0},
}


class FromTheHookError(Exception):
    """What hooks raise."""


def fail(*args: Any) -> None:
    raise FromTheHookError


def on_output(table: nn.Embedding) -> Any:
    """A hook of the tensor that the table gives."""

    def register(module: nn.Module, inputs: Any, output: Tensor) -> None:
        output.register_hook(fail)

    return table.register_forward_hook(register)


HOOKS: dict[str, Callable[[nn.Embedding], Any]] = {
    "tensor": lambda table: table.weight.register_hook(fail),
    "output": on_output,
    "post accumulate grad": lambda table: table.weight.register_post_accumulate_grad_hook(fail),
    "forward pre": lambda table: table.register_forward_pre_hook(fail),
    "forward": lambda table: table.register_forward_hook(fail),
    "full backward pre": lambda table: table.register_full_backward_pre_hook(fail),
    "full backward": lambda table: table.register_full_backward_hook(fail),
}


class Model(nn.Module):
    """Two tables, one of which has hooks; whole numbers, so that sums are exact."""

    def __init__(self, kind: type[nn.Embedding], device: str, options: dict[str, Any]) -> None:
        super().__init__()
        rows = torch.arange(40.0).view(10, 4).remainder(7) - 3
        self.tables = nn.ModuleList(
            kind.from_pretrained(part.clone().to(device), freeze=False, **options) for part in (rows, -rows, rows + 1)
        )
        self.optimizer = torch.optim.SGD(self.parameters(), lr=0.5)

    def step(self, *indices: int) -> None:
        at = torch.tensor(indices, device=next(self.parameters()).device)
        first, hooked, last = (table(at) for table in self.tables)
        (first + 2 * hooked + 4 * last).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state(self) -> list[Tensor | None]:
        """Tables and their gradients."""
        found: list[Tensor | None] = []
        for parameter in self.parameters():
            found += [parameter.detach().clone(), None if parameter.grad is None else parameter.grad.to_dense().clone()]
        return found


def same(ours: Model, stocks: Model) -> bool:
    pairs = zip(ours.state(), stocks.state(), strict=True)
    return all(a is b if a is None or b is None else torch.equal(a.cpu(), b) for a, b in pairs)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("name", OPTIONS)
def test_a_hook_that_raises_leaves_what_it_leaves_with_stock(name: str, hook: str, device: str) -> None:
    # stock's on a CPU, where its max_norm is to the last bit what it is to be
    models = [Model(tembed.Embedding, device, OPTIONS[name]), Model(nn.Embedding, "cpu", OPTIONS[name])]
    for model in models:
        before = model.state()
        handle = HOOKS[hook](model.tables[1])  # type: ignore[arg-type]
        with pytest.raises(FromTheHookError):
            model.step(1, 2, 3, 1)
        handle.remove()
        after = model.state()
        if hook == "post accumulate grad":
            assert after[3] is not None, "it is called when there is a gradient"
        tables = zip(before[::2], after[::2], strict=True)
        assert name == "max_norm" or all(torch.equal(a, b) for a, b in tables)  # type: ignore[arg-type]
    assert same(*models)
    for model in models:
        model.step(3, 3, 2, 5)  # on top of gradients that are left
    assert same(*models)


def test_an_error_while_the_gradient_is_made_names_itself_and_leaves_none(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Model(tembed.Embedding, device, OPTIONS["sparse"])
    with monkeypatch.context() as patched:
        patched.setattr(tembed.ops, "_sparse_gradient", fail)
        with pytest.raises(FromTheHookError):
            model.step(1, 2, 3)
    assert [tensor for tensor in model.state()[1::2] if tensor is not None] == []
    stocks = Model(nn.Embedding, "cpu", OPTIONS["sparse"])
    for trained in (model, stocks):
        trained.step(1, 2, 3)
    assert same(model, stocks)


def test_a_sparse_gradient_that_a_hook_replaced_is_not_taken_for_coalesced(device: str) -> None:
    weight = torch.zeros(5, 2, device=device, requires_grad=True)
    twice = torch.tensor([[1, 1]], device=device)
    values = torch.ones(2, 2, device=device)
    weight.register_hook(lambda grad: torch.sparse_coo_tensor(twice, values, (5, 2)))
    tembed.embedding(torch.tensor([3, 4], device=device), weight, sparse=True).sum().backward()
    assert weight.grad is not None
    assert not weight.grad.is_coalesced()
    assert weight.grad.to_dense()[:, 0].tolist() == [0, 2, 0, 0, 0]

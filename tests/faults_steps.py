"""Steps that are broken off, and what must be left of them: tensors as before, or as a whole operation leaves them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

import tembed
from tembed import kernels
from tembed.kernels import tiles

V, D, REPEATED, LOOKED_UP = 10, 6, 4, 3
# Of faults, how many are there to one after which a next step is run: the interpreter takes a tenth of a second for it.
NEXT = 3 if kernels.interpreted() else 1
Embedding = Callable[..., Tensor]


def short_chunks(monkeypatch: pytest.MonkeyPatch, few: bool = True) -> None:
    """Cuts a few lookups into several chunks; has them ranked if they are to count as few, else sorted by torch."""
    monkeypatch.setattr(tiles, "CHUNKS", ((1 << 18, 8),))
    monkeypatch.setattr(tiles, "FEW", 4096 if few else 4)


@dataclass
class State:
    """A table, and what comes from above as its gradient; both have gradients of their own."""

    weight: Tensor
    grad_output: Tensor
    indices: Tensor

    def bits(self) -> dict[str, Tensor | None]:
        """Copies of all that a step can change."""
        found: dict[str, Tensor | None] = {"weight": self.weight.detach().clone()}
        for name, tensor in (("weight", self.weight), ("grad_output", self.grad_output)):
            grad = tensor.grad
            found[f"{name}.grad"] = None if grad is None else grad.to_dense().clone()
        return found


def same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether both are None, or have the same bits."""
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())


def equal(a: dict[str, Tensor | None], b: dict[str, Tensor | None]) -> bool:
    return all(same(a[name], b[name]) for name in a)


@dataclass(frozen=True)
class Case:
    """One kind of step, by the options of the lookup. `held`: there is a gradient already, to which others add."""

    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    twice: bool = False
    held: bool = False

    def state(self, device: str, repeated: int = REPEATED) -> State:
        """Whole numbers, so that sums are exact in any order; every row that is looked up is so equally often."""
        generator = torch.Generator().manual_seed(repeated)
        rows = torch.arange(LOOKED_UP).repeat(repeated)
        indices = rows[torch.randperm(len(rows), generator=generator)].view(repeated, -1)
        weight = torch.randint(-4, 5, (V, D), generator=generator).to(device, self.dtype)
        grad_output = 4 * torch.randint(-3, 4, (*indices.shape, D), generator=generator).to(device, self.dtype)
        state = State(weight.requires_grad_(), grad_output.requires_grad_(self.twice), indices.to(device))
        if self.held and self.options.get("sparse"):
            ones = torch.ones(1, D, dtype=self.dtype, device=device)
            weight.grad = torch.sparse_coo_tensor(torch.tensor([[3]], device=device), ones, (V, D))
        elif self.held:
            weight.grad = torch.ones_like(weight)
        return state

    def lookup(self, state: State, embedding: Embedding = tembed.embedding) -> Tensor:
        return embedding(state.indices, state.weight, **self.options)

    def run(self, state: State, embedding: Embedding = tembed.embedding) -> None:
        """Lookup and gradient; or the gradient of the gradient, too."""
        out = self.lookup(state, embedding)
        if not self.twice:
            out.backward(state.grad_output)
            return
        (grad,) = torch.autograd.grad(out, state.weight, state.grad_output, create_graph=True)
        grad.backward(torch.arange(V * D, device=grad.device).view(V, D).to(grad.dtype))

    def next_step(self, state: State) -> None:
        """Asserts that a smaller step from here gives what stock's gives on a CPU, where max_norm is exact."""
        smaller = self.state(state.weight.device.type, 2)
        for tensor, name in ((state.weight, "weight"), (state.grad_output, "grad_output")):
            tensor.grad = None
            setattr(smaller, name, getattr(smaller, name).detach().requires_grad_(tensor.requires_grad))
        smaller.weight = state.weight
        theirs = State(
            state.weight.detach().cpu().clone().requires_grad_(),
            smaller.grad_output.detach().cpu().clone().requires_grad_(self.twice),
            smaller.indices.cpu(),
        )
        self.run(smaller)
        self.run(theirs, torch.nn.functional.embedding)
        assert equal(smaller.bits(), theirs.bits())


CASES = {
    "dense": Case({"padding_idx": 2}),
    "dense, a gradient held": Case({"padding_idx": 2}, held=True),
    "counts": Case({"scale_grad_by_freq": True}),
    "bfloat16": Case({"padding_idx": 2}, torch.bfloat16),
    "sparse": Case({"sparse": True, "padding_idx": 2}),
    "sparse, a gradient held": Case({"sparse": True, "padding_idx": 2}, held=True),
    "max_norm": Case({"max_norm": 3.0}),
    "double backward": Case({"padding_idx": 2}, twice=True),
}

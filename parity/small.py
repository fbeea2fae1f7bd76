"""One small lookup, for checks of how an embedding behaves rather than of its numbers.

Rows are looked up once, twice and not at all, and gradients are whole numbers: sums, and halves of them, are exact
in every type and order, so that gradients can be compared bit for bit.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from . import oracle
from .compare import numpy_of, require, same_bits
from .subject import Implementation, Missing, wanted

V, D, PADDING = 6, 3, 2
INDICES = ((0, 2, 2), (5, 4, 5))


def table(device: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """[V, D], a leaf that requires grad."""
    return torch.randn(V, D).to(device, dtype).requires_grad_()


def indices(device: str, dtype: torch.dtype = torch.int64) -> Tensor:
    """[2, 3]."""
    return torch.tensor(INDICES, device=device, dtype=dtype)


def gradient(device: str, dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (2, 3)) -> Tensor:
    """[*shape, D] of whole numbers, another in every row."""
    return torch.randint(-9, 10, (*shape, D)).to(device, dtype)


def expected(looked_up: Tensor, grad_output: Tensor, rows: int = V, **options: Any) -> Tensor:
    """The table's gradient, dense."""
    value = oracle.gradient(
        numpy_of(grad_output),
        looked_up.cpu().long().numpy(),
        rows,
        options.get("padding_idx"),
        bool(options.get("scale_grad_by_freq")),
        "float64",
    ).value
    return torch.from_numpy(value).to(grad_output.device, grad_output.dtype)


def check_gradient(found: Tensor | None, wanted_gradient: Tensor, what: str = "gradient") -> None:
    """Mismatch unless there is a gradient, dense or sparse, of these numbers bit for bit; -0 counts as 0."""
    require(found is not None, f"there is no {what}")
    assert found is not None
    same_bits(found.to_dense() + 0.0, wanted_gradient + 0.0, what)


def lookup_of(subject: Implementation, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    """The lookup as a function of indices and table, in which nothing else is left to be made."""
    if subject.functional is not None:
        return partial(subject.functional, **wanted(subject.functional, options))
    made = module(subject, table(subject.device), **options)
    return lambda i, w: functional_call(made, {"weight": w}, (i,))


class Lookup(nn.Module):
    """A module around a function, for an implementation that has no class."""

    def __init__(self, function: Any, weight: Tensor) -> None:
        super().__init__()
        self.function, self.weight = function, nn.Parameter(weight)

    def forward(self, input: Tensor) -> Tensor:
        """The function's result."""
        out: Tensor = self.function(input, self.weight)
        return out


def module(subject: Implementation, weight: Tensor, **options: Any) -> Any:
    """A module of the implementation, with a copy of this table as its `weight`."""
    weight = weight.detach()
    if subject.module is None:
        return Lookup(partial(subject.function, **wanted(subject.function, options)), weight.clone())
    made = subject.make(*weight.shape, **options).to(weight.device, weight.dtype)
    if "weight" not in dict(made.named_parameters(recurse=False)):
        raise Missing("a parameter `weight`, to give it a table")
    with torch.no_grad():
        made.weight.copy_(weight)
    return made

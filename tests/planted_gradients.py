"""Lookups whose gradients are wrong, for tests of what judges them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tembed.bench.providers import stock

Change = Callable[[Tensor, Tensor, Tensor], Tensor]  # the right gradient, dense; the indices; the table


class _Planted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, indices: Tensor, change: Change, sparse: bool) -> Tensor:
        ctx.save_for_backward(weight, indices)
        ctx.change, ctx.sparse = change, sparse
        return weight.detach()[indices]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        weight, indices = ctx.saved_tensors
        flat, rows = indices.reshape(-1), grads[0].reshape(indices.numel(), -1).double()
        right = torch.zeros(weight.shape, dtype=torch.float64).index_add_(0, flat, rows).to(weight.dtype)
        changed = ctx.change(right, flat, weight.detach())
        return coalesced(changed, flat.unique()) if ctx.sparse else changed, None, None, None


def coalesced(values: Tensor, rows: Tensor) -> Tensor:
    """Those rows of a dense gradient as a sparse one that says that it is coalesced, whether it is or not."""
    its = values[rows]
    return torch.sparse_coo_tensor(rows[None], its, values.shape, is_coalesced=True, check_invariants=False)


def with_gradient(change: Change) -> Callable[..., Tensor]:
    """Stock's lookup; its gradient is the right one, changed."""

    def lookup(weight: Tensor, indices: Tensor, max_norm: float | None, sparse: bool = False) -> Tensor:
        stock(weight, indices, max_norm)  # scales the table
        out: Tensor = _Planted.apply(weight, indices, change, sparse)
        return out

    return lookup


def right(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    return grad


def row_forgotten(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    grad[indices[-1]] = 0
    return grad


def row_not_zero(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    touched = torch.zeros(len(grad), dtype=torch.bool).index_fill_(0, indices, True)
    grad[int(touched.int().argmin()), 3] = 1e-30
    return grad


def nothing_written(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    grad[indices[0]] = float("nan")
    return grad


def one_roundoff_off(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    """The neighbour of one number, in its own type."""
    bits = {2: torch.int16, 4: torch.int32}[grad.element_size()]
    row, column = indices[0], int(grad[indices[0]].abs().argmax())
    grad.view(bits)[row, column] += 1
    return grad


def too_small(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    return grad - grad / 7


def shifted_rows(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    return grad.roll(1, 0)


def table_changed(grad: Tensor, indices: Tensor, weight: Tensor) -> Tensor:
    weight[indices[0], 0] += 1
    return grad


def in_order(grad: Tensor, indices: Tensor, rows: Tensor) -> Tensor:
    """Sums in the type of the rows, one after the other: stock's way on a CPU."""
    out = torch.zeros_like(grad)
    for index, row in zip(indices.tolist(), rows, strict=True):
        out[index] += row
    return out

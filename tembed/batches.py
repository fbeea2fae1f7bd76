"""Lookups in several tables at once, and by several calls in each: what vmap makes of a lookup, on ops.

Shapes: weight [*B, V, D], indices [*B, *C, *I], rows [*B, *C, *I, D]. B are tables and C are calls that look up in
the same one, any number of dimensions of each, none included. I is the input of one call, `own` dimensions, over
which scale_grad_by_freq counts.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from . import ops, reference, reports


@dataclass(frozen=True)
class Call:
    """What one call has besides tensors; one object, for every argument of a Function costs a transform time.

    Args:
        own: the dimensions of its input.
        renorm: max_norm and norm_type, or None.
        reported: whether bad indices have been looked for.
    """

    own: int
    padding_idx: int
    scale: bool
    sparse: bool
    renorm: tuple[float, float] | None = None
    reported: bool = False

    def of_tangent(self) -> "Call":
        """The same, of tables that are no longer scaled, by indices that have been reported."""
        return replace(self, renorm=None, reported=True)

    def made_dense(self) -> "Call":
        """The same, with a dense gradient."""
        return replace(self, sparse=False) if self.sparse else self


def check_range(weight: Tensor, indices: Tensor) -> None:
    """Raises or reports a bad index, without dimensions of tables that all have the same indices."""
    for dim in reversed(range(weight.dim() - 2)):
        if indices.stride(dim) == 0 and indices.shape[dim]:
            indices = indices.select(dim, 0)
    V = weight.shape[-2]
    report = reports.check(indices, V, weight)
    if report is not None:
        ops.mark_bad(indices, V, report)


def lookup(weight: Tensor, indices: Tensor, call: Call) -> Tensor:
    """The rows at indices, scaled first if there is a max_norm: once in the tables, though several calls have them."""
    if call.renorm is None:
        return _by_table(ops.lookup, weight, indices)
    max_norm, norm_type = call.renorm
    return _by_table(lambda table, rows: ops.renorm_lookup(table, rows, max_norm, norm_type), weight, indices)


def gradient(grad_output: Tensor, indices: Tensor, tables: int, V: int, call: Call) -> Tensor:
    """The gradient of the tables [*B, V, D], B of `tables` dimensions: dense, or coalesced and sparse in all but D."""
    if call.scale and _several(indices, tables, call):  # they have counts of their own, so that their sum has none
        divided = grad_output.to(_wide(grad_output.dtype)) / _counts(indices, call.own)
        return gradient(divided, indices, tables, V, replace(call, scale=False)).to(grad_output.dtype)
    if tables == 0:
        return ops.gradient(grad_output, indices, V, call.padding_idx, call.scale, call.sparse)
    rows = _numbered(indices, tables, V, call.padding_idx)
    *B, D = *indices.shape[:tables], grad_output.shape[-1]
    grad = ops.gradient(grad_output, rows, prod(B) * V, call.padding_idx, call.scale, call.sparse)
    if not call.sparse:
        return grad.view(*B, V, D)
    at = torch.stack(torch.unravel_index(grad._indices()[0], (*B, V)))
    return torch.sparse_coo_tensor(at, grad._values(), (*B, V, D), is_coalesced=True, check_invariants=False)


def gradient_of_gradient(grad: Tensor, indices: Tensor, call: Call) -> Tensor:
    """The gradient of grad_output, given that of the tables' gradient [*B, V, D], dense or sparse."""
    several = call.scale and _several(indices, grad.dim() - 2, call)
    out = _by_table(
        lambda table, rows: ops.gradient_of_gradient(table, rows, call.padding_idx, call.scale and not several),
        grad,
        indices,
        call.padding_idx,
    )
    if not several:
        return out
    return (out.to(_wide(out.dtype)) / _counts(indices, call.own)).to(out.dtype)


def _several(indices: Tensor, tables: int, call: Call) -> bool:
    """Whether there are several calls in the same table."""
    return prod(indices.shape[tables : indices.dim() - call.own]) > 1


def _by_table(of: Callable[[Tensor, Tensor], Tensor], weight: Tensor, indices: Tensor, dropped: int = -1) -> Tensor:
    """of(weight, indices), which takes one table: that of all of them if it needs no copy, else one after the other."""
    *B, V, D = weight.shape
    if not B:
        return of(weight, indices)
    try:
        table = weight.view(prod(B) * V, D)
    except RuntimeError:  # these strides do not fold, or the tables are a sparse gradient
        pairs = zip(weight.unbind(), indices.unbind(), strict=True)
        return torch.stack([_by_table(of, table, rows, dropped) for table, rows in pairs])
    return of(table, _numbered(indices, len(B), V, dropped))


def _numbered(indices: Tensor, tables: int, V: int, dropped: int) -> Tensor:
    """Indices into the rows of all tables, one below the other; `dropped` for those that are that, or bad.

    -1 is outside of every table, and padding_idx is the first table's, which has no part in gradients either.
    """
    B = indices.shape[:tables]
    first = torch.arange(prod(B), device=indices.device).mul_(V).view(*B, *[1] * (indices.dim() - tables))
    bad = reference.outside(indices, V)
    return torch.where(bad if dropped < 0 else bad | (indices == dropped), dropped, indices + first)


def _counts(indices: Tensor, own: int) -> Tensor:
    """How often the call has each of its indices, [*B, *C, *I, 1]."""
    calls = indices.shape[: indices.dim() - own]
    flat = indices.reshape(prod(calls), prod(indices.shape[len(calls) :])).contiguous()
    ordered = flat.sort(1).values
    number = torch.searchsorted(ordered, flat, right=True) - torch.searchsorted(ordered, flat)
    return number.view(*indices.shape, 1)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return dtype if dtype == torch.float64 else torch.float32

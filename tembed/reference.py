"""The same results from torch's own operations: for the CPU, and wherever the kernels do not run."""

from collections.abc import Callable

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)


def outside(indices: Tensor, V: int) -> Tensor:
    """Where indices lie outside [0, V); V may be more than their type can hold."""
    below = indices < 0
    return below if torch.iinfo(indices.dtype).max < V else below | (indices >= V)


def rows_of(indices: Tensor, first: int | None) -> Tensor:
    """The rows of a table, whose first has the index `first`; others lie outside it, wrapped around or not."""
    return indices.long() if first is None else indices.long() - first


def rows_or_V(indices: Tensor, V: int, first: int | None) -> Tensor:
    """The rows, V for those outside."""
    rows = rows_of(indices, first)
    return rows.masked_fill(outside(rows, V), V)


def lookup(weight: Tensor, indices: Tensor, first: int | None = None) -> Tensor:
    """weight[indices]. On the CPU a bad index raises, elsewhere, and for a part of a table, its row is zeros."""
    if (weight.is_cpu and first is None) or not indices.numel():
        return torch.embedding(weight, indices)
    if not weight.shape[0]:
        return weight.new_zeros(*indices.shape, weight.shape[1])
    rows = rows_of(indices, first)
    bad = outside(rows, weight.shape[0])
    return torch.embedding(weight, rows.masked_fill(bad, 0)).masked_fill(bad.unsqueeze(-1), 0)


def renorm_(
    weight: Tensor,
    indices: Tensor,
    max_norm: float,
    norm_type: float,
    first: int | None = None,
    norms: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Scales the rows of weight at indices to max_norm, in place.

    On the CPU that is torch's own operation. Elsewhere that operation differs from it (odd and fractional
    norms of negatives, infinite norms, strided tables), so the CPU's definition is spelt out; and where rows are parts
    of longer ones, whose norms [N, 1] the function `norms` finds.
    """
    weight = weight.detach()
    flat = rows_of(indices, first).reshape(-1)
    if weight.is_cpu and norms is None:
        here = flat if first is None else flat[~outside(flat, weight.shape[0])]
        torch.embedding_renorm_(weight, here, max_norm, norm_type)
        return
    if not flat.numel() or not weight.shape[0]:
        torch.autograd.graph.increment_version(weight)
        return
    # a bad index stands for a good one, if there is one, and so for a row that is scaled anyway
    bad = outside(flat, weight.shape[0])
    flat = torch.where(bad, flat[bad.logical_not().int().argmax()], flat).clamp(0, weight.shape[0] - 1)
    rows = weight[flat]
    norm = norms(rows) if norms else torch.linalg.vector_norm(rows, norm_type, dim=1, keepdim=True)
    norm = norm.float() if weight.device.type == "mps" else norm.double()
    over = (norm > max_norm) & bad.logical_not().any()
    factor = (max_norm / (norm + 1e-7)).to(rows.real.dtype)
    if weight.stride(1) == 0 and weight.shape[1] > 1 and not over.any():
        torch.autograd.graph.increment_version(weight)  # torch would refuse to write what need not be written
    else:
        weight.index_copy_(0, flat, torch.where(over, rows * factor, rows))  # duplicates write the same bits


def dense_gradient(
    grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool, first: int | None = None
) -> Tensor:
    """[V, D]: each row the sum of its lookups' gradients, over their number when `scale`. Bad indices have no part."""
    if grad_output.dtype not in NARROW:
        if grad_output.is_cpu and first is None:  # where the lookup has seen to it that no index is bad
            return torch.ops.aten.embedding_dense_backward(grad_output, indices, V, padding_idx, scale)
        rows, padding_idx = rows_or_V(indices, V, first), padding_idx - (first or 0)
        return torch.ops.aten.embedding_dense_backward(grad_output, rows, V + 1, padding_idx, scale)[:V].contiguous()
    rows, sums = rows_and_sums(grad_output, indices, V, padding_idx, scale, first)
    return grad_output.new_zeros(V, grad_output.shape[-1]).index_copy_(0, rows, sums)


def rows_and_sums(
    grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool, first: int | None = None
) -> tuple[Tensor, Tensor]:
    """The rows that were looked up [U] int64, unique and ascending, and their gradients [U, D]."""
    rows, compact = torch.unique(rows_of(indices, first).reshape(-1), return_inverse=True)
    grads = grad_output.reshape(indices.numel(), grad_output.shape[-1])
    wide = grads.float() if grads.dtype in NARROW else grads
    sums = torch.ops.aten.embedding_dense_backward(wide, compact, len(rows), -1, scale).to(grads.dtype)
    keep = (rows != padding_idx - (first or 0)) & ~outside(rows, V)
    return rows[keep], sums[keep]

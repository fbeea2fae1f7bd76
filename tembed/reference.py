"""The same results from torch's own operations: for the CPU, and wherever the kernels do not run."""

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)


def outside(indices: Tensor, V: int) -> Tensor:
    """Where indices lie outside [0, V); V may be more than their type can hold."""
    below = indices < 0
    return below if torch.iinfo(indices.dtype).max < V else below | (indices >= V)


def lookup(weight: Tensor, indices: Tensor) -> Tensor:
    """weight[indices]. On the CPU a bad index raises, elsewhere its row is zeros."""
    if weight.is_cpu or not indices.numel():
        return torch.embedding(weight, indices)
    bad = outside(indices, weight.shape[0])
    return torch.embedding(weight, indices.masked_fill(bad, 0)).masked_fill(bad.unsqueeze(-1), 0)


def renorm_(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows of weight at indices to max_norm, in place.

    On the CPU that is torch's own operation. Elsewhere that operation differs from it (odd and fractional
    norms of negatives, infinite norms, strided tables), so the CPU's definition is spelt out.
    """
    weight = weight.detach()
    if weight.is_cpu:
        torch.embedding_renorm_(weight, indices.contiguous(), max_norm, norm_type)
        return
    flat = indices.reshape(-1).long()
    if not flat.numel():
        torch.autograd.graph.increment_version(weight)
        return
    # a bad index stands for a good one, if there is one, and so for a row that is scaled anyway
    bad = outside(flat, weight.shape[0])
    flat = torch.where(bad, flat[bad.logical_not().int().argmax()], flat).clamp(0, weight.shape[0] - 1)
    rows = weight[flat]
    norm = torch.linalg.vector_norm(rows, norm_type, dim=1, keepdim=True)
    norm = norm.float() if weight.device.type == "mps" else norm.double()
    over = (norm > max_norm) & bad.logical_not().any()
    factor = (max_norm / (norm + 1e-7)).to(rows.real.dtype)
    if weight.stride(1) == 0 and weight.shape[1] > 1 and not over.any():
        torch.autograd.graph.increment_version(weight)  # torch would refuse to write what need not be written
    else:
        weight.index_copy_(0, flat, torch.where(over, rows * factor, rows))  # duplicates write the same bits


def dense_gradient(grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool) -> Tensor:
    """[V, D]: each row the sum of its lookups' gradients, over their number when `scale`. Bad indices have no part."""
    if grad_output.dtype not in NARROW:
        if grad_output.is_cpu:  # where the lookup has seen to it that no index is bad
            return torch.ops.aten.embedding_dense_backward(grad_output, indices, V, padding_idx, scale)
        indices = indices.long().masked_fill(outside(indices, V), V)
        return torch.ops.aten.embedding_dense_backward(grad_output, indices, V + 1, padding_idx, scale)[:V].contiguous()
    rows, sums = rows_and_sums(grad_output, indices, V, padding_idx, scale)
    return grad_output.new_zeros(V, grad_output.shape[-1]).index_copy_(0, rows, sums)


def rows_and_sums(grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool) -> tuple[Tensor, Tensor]:
    """The rows that were looked up [U] int64, unique and ascending, and their gradients [U, D]."""
    rows, compact = torch.unique(indices.reshape(-1).long(), return_inverse=True)
    grads = grad_output.reshape(indices.numel(), grad_output.shape[-1])
    wide = grads.float() if grads.dtype in NARROW else grads
    sums = torch.ops.aten.embedding_dense_backward(wide, compact, len(rows), -1, scale).to(grads.dtype)
    keep = (rows != padding_idx) & ~outside(rows, V)
    return rows[keep], sums[keep]

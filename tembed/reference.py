"""The same results from torch's own operations: for the CPU, and wherever the kernels do not run."""

import torch
from torch import Tensor

NARROW = (torch.float16, torch.bfloat16)


def lookup(weight: Tensor, indices: Tensor) -> Tensor:
    """weight[indices]."""
    return torch.embedding(weight, indices)


def renorm_(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows of weight at indices to max_norm, in place.

    On the CPU that is torch's own operation. Elsewhere that operation differs from it (odd and fractional
    norms of negatives, infinite norms, strided tables), so the CPU's definition is spelt out.
    """
    if weight.is_cpu:
        torch.embedding_renorm_(weight, indices.contiguous(), max_norm, norm_type)
        return
    flat = indices.reshape(-1)
    rows = weight[flat]
    norm = torch.linalg.vector_norm(rows, norm_type, dim=1, keepdim=True).double()
    factor = (max_norm / (norm + 1e-7)).to(rows.real.dtype)
    over = norm > max_norm
    if weight.stride(1) == 0 and weight.shape[1] > 1 and not over.any():
        torch.autograd.graph.increment_version(weight)  # torch would refuse to write what need not be written
    else:
        weight.index_copy_(0, flat.long(), torch.where(over, rows * factor, rows))  # duplicates write the same bits


def dense_gradient(grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool) -> Tensor:
    """[V, D]: each row the sum of its lookups' gradients, over their number when `scale`."""
    if grad_output.dtype not in NARROW:
        return torch.ops.aten.embedding_dense_backward(grad_output, indices, V, padding_idx, scale)
    rows, sums = _sum_by_row(grad_output, indices, padding_idx, scale)
    return grad_output.new_zeros(V, grad_output.shape[-1]).index_copy_(0, rows, sums)


def sparse_gradient(grad_output: Tensor, indices: Tensor, padding_idx: int, scale: bool) -> tuple[Tensor, Tensor]:
    """The rows that were looked up [U] int64, unique and ascending, and their gradients [U, D]."""
    return _sum_by_row(grad_output, indices, padding_idx, scale)


def _sum_by_row(grad_output: Tensor, indices: Tensor, padding_idx: int, scale: bool) -> tuple[Tensor, Tensor]:
    rows, compact = torch.unique(indices.reshape(-1).long(), return_inverse=True)
    grads = grad_output.reshape(indices.numel(), grad_output.shape[-1])
    wide = grads.float() if grads.dtype in NARROW else grads
    sums = torch.ops.aten.embedding_dense_backward(wide, compact, len(rows), -1, scale).to(grads.dtype)
    keep = rows != padding_idx
    return rows[keep], sums[keep]

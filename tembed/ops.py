"""Allocation, and the choice between the kernels and the torch reference.

A table may be a part of a larger one, the rows from `first` on: then its rows have the indices [first, first + V), any
other index is that of a row elsewhere, and padding_idx counts as the indices do. None for a whole table.

Lookups that are given a report tell of an index outside of the table there (see reports).
"""

import functools
from types import ModuleType

import torch
from torch import Tensor

from . import kernels, reference, reports
from .kernels import Report

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def path(device: torch.device | str) -> str:
    """What runs for a table on this device: "kernels", "kernels (interpreter)" or "reference"."""
    device_type = torch.device(device).type
    if not kernels.drives(device_type):
        return "reference"
    return "kernels (interpreter)" if kernels.interpreted() else "kernels"


def on_kernels(tensor: Tensor) -> bool:
    """Whether the kernels run on this tensor: its device is theirs, and it stands for no batch and no trace."""
    return kernels.drives(tensor.device.type) and not torch.compiler.is_compiling() and not _batched(tensor)


def _batched(tensor: Tensor) -> bool:
    """Whether vmap is under way, of torch.func or of autograd's is_grads_batched; torch's operations know how."""
    return torch._C._are_functorch_transforms_active() or torch._C._functorch.is_legacy_batchedtensor(tensor)


@functools.cache
def _launchers() -> ModuleType:
    from .kernels import launchers

    return launchers


def lookup(
    weight: Tensor, indices: Tensor, skip: int = -1, first: int | None = None, report: Report | None = None
) -> Tensor:
    """weight[indices], fresh and contiguous, bit for bit; rows elsewhere, and of the index `skip`, are zeros."""
    if on_kernels(weight):
        if report is not None and not weight.shape[1]:
            mark_bad(indices, report[2], report)  # there is no other launch
        if weight.dtype not in FLOATS or weight.is_neg():
            return _gather(weight, indices, skip, first or 0, report)
        out = weight.new_empty((*indices.shape, weight.shape[1]))
        _launchers().gather_rows(weight, indices, out, skip, first or 0, report)
        return out
    out = reference.lookup(weight, indices, first)
    return out if skip < 0 else out.masked_fill((indices.long() == skip).unsqueeze(-1), 0)


def mark_bad(indices: Tensor, rows: int, report: Report | None) -> Tensor:
    """A copy of indices, -1 where one is outside [0, rows), which kernels report; the reference reports nothing."""
    if not on_kernels(indices):
        return indices.masked_fill(reference.outside(indices, rows), -1)
    out = torch.empty(indices.shape, dtype=indices.dtype, device=indices.device)
    _launchers().mark_bad_indices(indices, out, rows, report)
    return out


def _gather(weight: Tensor, indices: Tensor, skip: int, first: int, report: Report | None) -> Tensor:
    """Gathers the bits of any dtype: exotic ones as integers, wide ones in two halves, lazy ones resolved after."""
    if weight.is_conj():
        return _gather(weight.conj(), indices, skip, first, report).conj_physical_()
    if weight.is_neg():
        return _gather(torch._neg_view(weight), indices, skip, first, report).neg_()
    if weight.dtype == torch.complex128:
        real, imaginary = torch.view_as_real(weight).unbind(-1)
        halves = _gather(real, indices, skip, first, report), _gather(imaginary, indices, skip, first, None)
        return torch.view_as_complex(torch.stack(halves, -1))
    out = weight.new_empty((*indices.shape, weight.shape[1]))
    bits = weight.dtype if weight.dtype in FLOATS else INTEGERS[weight.element_size()]
    _launchers().gather_rows(weight.view(bits), indices, out.view(bits), skip, first, report)
    return out


def renorm_lookup(
    weight: Tensor,
    indices: Tensor,
    max_norm: float,
    norm_type: float,
    first: int | None = None,
    report: Report | None = None,
) -> Tensor:
    """Scales the rows at `indices` to max_norm in the table, and looks them up. One in-place change, always."""
    overlapping = weight.stride(1) == 0 and weight.shape[1] > 1  # torch refuses to write to it, if it must
    columns = weight.shape[1] > 0  # without any, whether there is a norm depends on p, as torch says
    if not on_kernels(weight) or weight.dtype not in FLOATS or weight.is_neg() or overlapping or not columns:
        with torch.no_grad():
            reference.renorm_(weight, indices, max_norm, norm_type, first)
        return lookup(weight, indices, first=first, report=report)
    launch = _launchers()
    out = weight.new_empty((*indices.shape, weight.shape[1]))
    targets = indices.new_empty(indices.numel(), dtype=launch.targets_dtype(weight.shape[0]))
    # before the launch: an interrupt must not leave a change that is not counted
    if not weight.is_inference():
        torch.autograd.graph.increment_version(weight)
    launch.renorm_rows(weight, indices, out, targets, max_norm, norm_type, first or 0, report)
    return out


def gradient(
    grad_output: Tensor,
    indices: Tensor,
    V: int,
    padding_idx: int,
    scale: bool,
    sparse: bool,
    first: int | None = None,
) -> Tensor:
    """The gradient of the table: dense [V, D], or sparse and coalesced with U rows."""
    reports.raise_reported(indices)
    make = _sparse_gradient if sparse else _dense_gradient
    return make(grad_output, indices, V, padding_idx, scale, first)


def _dense_gradient(
    grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool, first: int | None
) -> Tensor:
    if _batched(grad_output):
        kept, padding_idx = reference.rows_or_V(indices, V, first), padding_idx - (first or 0)
        return torch.ops.aten.embedding_dense_backward(grad_output, kept, V + 1, padding_idx, scale)[..., :V, :]
    if not on_kernels(grad_output) or grad_output.dtype not in FLOATS:
        return reference.dense_gradient(grad_output, indices, V, padding_idx, scale, first)
    D = grad_output.shape[-1]
    if not grad_output.numel() or not V:
        return torch.zeros(V, D, dtype=grad_output.dtype, device=grad_output.device)
    out = torch.empty(V, D, dtype=grad_output.dtype, device=grad_output.device)
    launch = _launchers()
    fill = launch.fills_untouched(indices.numel(), V)
    keys, order = launch.sort_indices(indices.reshape(-1), V, padding_idx, None if fill else out, first or 0)
    launch.sum_runs(keys, order, _rows_of(grad_output), out, scale, fill)
    return out


def _sparse_gradient(
    grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool, first: int | None
) -> Tensor:
    D = grad_output.shape[-1]
    if not grad_output.numel():
        rows = torch.empty(0, dtype=torch.int64, device=grad_output.device)
        values = grad_output.new_empty(0, D)
    elif not on_kernels(grad_output) or grad_output.dtype not in FLOATS:
        rows, values = reference.rows_and_sums(grad_output, indices, V, padding_idx, scale, first)
    else:
        launch = _launchers()
        runs = launch.find_runs(indices.reshape(-1), V, padding_idx, first or 0)
        rows, values = runs.rows, grad_output.new_empty(len(runs.rows), D)
        launch.sum_runs(runs.keys, runs.order, _rows_of(grad_output), values, scale, runs=runs)
    return torch.sparse_coo_tensor(rows.unsqueeze(0), values, (V, D), is_coalesced=True, check_invariants=False)


def _rows_of(grad_output: Tensor) -> Tensor:
    """grad_output as [N, D], or as [outer, inner, D] where that alone needs no copy.

    Only leading dimensions that need three strides or more are copied.
    """
    grad_output = grad_output.resolve_neg()
    *leading, D = grad_output.shape
    for split in range(len(leading)):
        outer, inner = leading[:split], leading[split:]
        shape = [torch.Size(outer).numel(), torch.Size(inner).numel(), D]
        try:
            return grad_output.view(shape if split else shape[1:])
        except RuntimeError:  # these strides do not fold
            continue
    return grad_output.reshape(-1, D)


def gradient_of_gradient(
    grad: Tensor, indices: Tensor, padding_idx: int, scale: bool, first: int | None = None
) -> Tensor:
    """The gradient of grad_output, given that of the table's gradient [V, D], dense or sparse."""
    reports.raise_reported(indices)
    V = grad.shape[0]
    rows = reference.rows_of(indices, first)
    bad = reference.outside(rows, V)
    if grad.layout == torch.strided:
        out = lookup(grad, indices, padding_idx, first)
    else:
        out = torch.index_select(grad, 0, rows.masked_fill(bad, 0).reshape(-1)).to_dense()
        out = out.view(*indices.shape, grad.shape[1]).masked_fill((bad | (indices == padding_idx)).unsqueeze(-1), 0)
    if not scale or not out.numel():
        return out
    kept = rows.masked_fill(bad, V).reshape(-1)
    counts = torch.zeros(V + 1, dtype=torch.int64, device=grad.device).index_add_(0, kept, torch.ones_like(kept))
    wide = out.dtype if out.dtype == torch.float64 else torch.float32
    return (out.to(wide) / counts[kept].view(*indices.shape, 1)).to(out.dtype)

"""What a process computes in its part of a table: lookup, max_norm and gradients, from local tensors to DTensors.

The kernels that look up in a whole table do it. They are told the index of the first row, and give zeros for rows that
are elsewhere; no indices are masked or copied.
"""

from collections.abc import Callable
from itertools import accumulate
from operator import mul
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

from . import checks, ops, reference
from .kernels import Report
from .placements import Layout, Placements, summed

Renorm = tuple[float, float]  # max_norm, norm_type


class Lookup(NamedTuple):
    """A lookup in a part of a table of `shape`: so many of its rows, from the row `first` on if that is not all."""

    mesh: DeviceMesh
    layout: Layout
    shape: torch.Size
    out_shape: torch.Size
    first: int | None
    rows: int
    padding_idx: int
    scale: bool


def has_memory(tensor: DTensor) -> bool:
    """Whether the local tensor is an ordinary one, on a device."""
    local = tensor._local_tensor
    return type(local) in (Tensor, torch.nn.Parameter, AsyncCollectiveTensor) and not local.is_meta


def placed(tensor: DTensor, placements: Placements) -> DTensor:
    """The tensor with these placements, by which gradients come back."""
    return tensor if tensor.placements == placements else tensor.redistribute(placements=placements)


def local_of(tensor: DTensor, placements: Placements) -> Tensor:
    """This process's part under these placements, once it has arrived."""
    local = placed(tensor, placements)._local_tensor
    return (local.wait() if isinstance(local, AsyncCollectiveTensor) else local).detach()


def _spread(local: Tensor, lookup: Lookup, placements: Placements, shape: torch.Size) -> DTensor:
    """The DTensor of this shape that has this part here."""
    # as of contiguous tensors
    strides = tuple(accumulate((max(size, 1) for size in shape[:0:-1]), mul, initial=1))[::-1]
    return DTensor.from_local(local, lookup.mesh, placements, run_check=False, shape=shape, stride=strides)


def look_up(weight: DTensor, indices: Tensor, lookup: Lookup, renorm: Renorm | None, report: Report | None) -> DTensor:
    """weight[indices], after max_norm if it is given."""
    local = local_of(weight, lookup.layout.table)
    checks.check_part(local.shape[0], lookup.rows)
    if renorm is None:
        out = ops.lookup(local, indices, first=lookup.first, report=report)
    else:
        out = ops.renorm_lookup(local, indices, *renorm, lookup.first, report)
        _count_change(weight)
    return _spread(out, lookup, lookup.layout.out, lookup.out_shape)


def renorm_together(weight: DTensor, indices: Tensor, lookup: Lookup, max_norm: float, norm_type: float) -> None:
    """max_norm for the indices of all processes, which they have to agree on: copies of a row, or parts of one."""
    local = local_of(weight, lookup.layout.table)
    checks.check_part(local.shape[0], lookup.rows)
    if lookup.layout.by_columns:
        norms = _norms_across_columns(lookup, norm_type)
        reference.renorm_(local, indices, max_norm, norm_type, lookup.first, norms)
    else:
        ops.renorm_lookup(local, indices, max_norm, norm_type, lookup.first)
    _count_change(weight)


def _count_change(weight: DTensor) -> None:
    """The local tensor's version has been counted up, the DTensor's has not."""
    if not weight.is_inference():
        torch.autograd.graph.increment_version(weight)


def _norms_across_columns(lookup: Lookup, p: float) -> Callable[[Tensor], Tensor]:
    """Norms of whole rows, given the columns of them that are here: the norm of the norms of their parts."""
    columns = tuple(its if its == Shard(1) else Replicate() for its in lookup.layout.table)

    def norms(rows: Tensor) -> Tensor:
        wide = rows.abs().to(torch.float64 if rows.real.dtype == torch.float64 else torch.float32)
        if wide.shape[1]:
            part = torch.linalg.vector_norm(wide, p, dim=1, keepdim=True)
        else:
            part = wide.new_full((len(wide), 1), torch.inf if p < 0 else 0)
        parts = DTensor.from_local(part, lookup.mesh, columns).full_tensor()
        # p = 0 counts, and counts are added
        return torch.linalg.vector_norm(parts, p or 1, dim=1, keepdim=True).to(rows.real.dtype)

    return norms


def gradient(grad_output: DTensor, indices: Tensor, lookup: Lookup) -> DTensor:
    """The gradient of the table, placed as the table is, from that of what was looked up."""
    _, layout, shape, _, first, rows, padding_idx, scale = lookup
    local = local_of(grad_output, layout.grad_output)
    grad = ops.gradient(local, indices, rows, padding_idx, scale and not layout.apart, False, first)
    if layout.apart:
        grad = local_of(_spread(grad, lookup, layout.terms, shape), layout.table)
        if scale:
            grad = _over_counts(grad, indices, lookup)
    return _spread(grad, lookup, layout.table, shape)


def _over_counts(grad: Tensor, indices: Tensor, lookup: Lookup) -> Tensor:
    """This part of a gradient, over how often all processes together looked its rows up."""
    rows = reference.rows_or_V(indices.reshape(-1), lookup.rows, lookup.first)
    own = rows.new_zeros(lookup.rows + 1).index_add_(0, rows, torch.ones_like(rows))[:-1]
    terms = lookup.layout.counts
    counts = local_of(_spread(own, lookup, terms, lookup.shape[:1]), summed(terms)).clamp(min=1)
    wide = grad.dtype if grad.dtype == torch.float64 else torch.float32
    return (grad.to(wide) / counts.unsqueeze(1)).to(grad.dtype)


def gradient_of_gradient(grad: DTensor, indices: Tensor, lookup: Lookup) -> DTensor:
    """The gradient of grad_output, placed as what was looked up is, from that of the table's gradient."""
    _, layout, _, out_shape, first, _, padding_idx, scale = lookup
    local = local_of(grad, layout.table)
    if scale and layout.apart:
        local, scale = _over_counts(local, indices, lookup), False
    return _spread(ops.gradient_of_gradient(local, indices, padding_idx, scale, first), lookup, layout.out, out_shape)

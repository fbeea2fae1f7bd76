"""The lookup in a table that is spread over processes, from DTensors to a DTensor, and its gradients.

What is sent between processes: indices that are split where the table is; in the backward, the gradient of rows that
several processes have. The table's gradient is placed as the table is.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.distributed.tensor import DTensor, Replicate

from . import checks, ops, parts, reports
from .autograd import differentiable
from .kernels import Report
from .parts import Lookup, Renorm, local_of
from .placements import own_rows, pick_layout


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int,
    max_norm: Any,
    norm_type: Any,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """tembed.embedding(), with -1 for no padding_idx.

    A bad index raises, at the call or later, in all processes that have it. max_norm changes the table where it lies.
    """
    assert isinstance(input, DTensor)
    assert isinstance(weight, DTensor)
    renorm = None if max_norm is None else checks.check_renorm(input, weight, max_norm, norm_type)
    checks.check_types(input, weight, padding_idx, scale_grad_by_freq, sparse)
    checks.check_tensors(input, weight)
    recorded = differentiable(weight)
    if recorded:
        checks.check_differentiable(weight)
        checks.check_sharded_sparse(sparse)
    mesh, (V, D) = weight.device_mesh, weight.shape
    layout = pick_layout(weight.placements, input.placements, input.dim())
    if renorm is not None:
        checks.check_sharded_renorm(weight.placements, layout.table)
    together = renorm is not None and (layout.apart or layout.by_columns)
    indices = local_of(input, (Replicate(),) * mesh.ndim if together else layout.indices)
    report = reports.check(indices, V, weight._local_tensor)
    first, rows = own_rows(V, mesh, layout.table)
    lookup = Lookup(
        mesh,
        layout,
        shape=weight.shape,
        out_shape=torch.Size((*input.shape, D)),
        first=first if layout.by_rows else None,
        rows=rows,
        padding_idx=int(padding_idx),
        scale=scale_grad_by_freq,
    )
    if renorm is not None and together:
        parts.renorm_together(weight, indices, lookup, *renorm)
        if report is not None:
            ops.mark_bad(indices, V, report)
        indices, renorm, report = local_of(input, layout.indices), None, None
    weight = parts.placed(weight, layout.table)
    if recorded:
        return LookupFunction.apply(weight, indices, lookup, renorm, report)
    with torch.no_grad():
        return parts.look_up(weight, indices, lookup, renorm, report)


class LookupFunction(Function):
    """The lookup. These three are closed under differentiation, as those of `autograd` are."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, weight: DTensor, indices: Tensor, lookup: Lookup, renorm: Renorm | None, report: Report | None
    ) -> DTensor:
        ctx.save_for_backward(indices)
        ctx.set_materialize_grads(False)
        ctx.lookup = lookup
        return parts.look_up(weight, indices, lookup, renorm, report)

    @staticmethod
    def backward(ctx: Any, grad_output: DTensor | None) -> tuple[Any, ...]:  # noqa: D102
        if grad_output is None:
            return (None,) * 5
        (indices,) = ctx.saved_tensors
        make = GradientFunction.apply if differentiable(grad_output) else parts.gradient
        return make(grad_output, indices, ctx.lookup), None, None, None, None


class GradientFunction(Function):
    """The table's gradient, from that of what was looked up."""

    @staticmethod
    def forward(ctx: Any, grad_output: DTensor, indices: Tensor, lookup: Lookup) -> DTensor:  # noqa: D102
        ctx.save_for_backward(indices)
        ctx.set_materialize_grads(False)
        ctx.lookup = lookup
        return parts.gradient(grad_output, indices, lookup)

    @staticmethod
    def backward(ctx: Any, grad: DTensor | None) -> tuple[Any, ...]:  # noqa: D102
        if grad is None:
            return (None,) * 3
        return GradientOfGradientFunction.apply(grad, *ctx.saved_tensors, ctx.lookup), None, None


class GradientOfGradientFunction(Function):
    """The gradient of grad_output, from that of the table's gradient."""

    @staticmethod
    def forward(ctx: Any, grad: DTensor, indices: Tensor, lookup: Lookup) -> DTensor:  # noqa: D102
        ctx.save_for_backward(indices)
        ctx.set_materialize_grads(False)
        ctx.lookup = lookup
        return parts.gradient_of_gradient(grad, indices, lookup)

    @staticmethod
    def backward(ctx: Any, grad_output: DTensor | None) -> tuple[Any, ...]:  # noqa: D102
        if grad_output is None:
            return (None,) * 3
        return GradientFunction.apply(grad_output, *ctx.saved_tensors, ctx.lookup), None, None

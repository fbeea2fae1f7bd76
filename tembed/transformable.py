"""Gradients of the lookup, of any order and in any mode, for the transforms of torch.func.

The three Functions are those of autograd, closed under differentiation, in the form that transforms take: L' = G,
G' = D, D' = G. They are closed under vmap too, as each takes any number of tables and of calls that look up in them
(see batches): vmap over tables or over gradients makes more tables, vmap over indices alone makes more calls. The
innermost call of a Function is one of plain tensors; that is where indices are checked and ops run.
"""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from . import batches
from .batches import Call


class Lookup(Function):
    """L: the lookup, with max_norm first when it is given. The gradient passes straight through max_norm."""

    @staticmethod
    def forward(weight: Tensor, indices: Tensor, call: Call) -> Tensor:  # noqa: D102
        if not call.reported:
            batches.check_range(weight, indices)
        return batches.lookup(weight, indices, call)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: D102
        weight, indices, call = inputs
        _save(ctx, indices, call)
        ctx.tables, ctx.V = weight.dim() - 2, weight.shape[-2]

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        if grad_output is None:
            return None, None, None
        return Gradient.apply(grad_output, indices, ctx.tables, ctx.V, ctx.call), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # noqa: D102
        (indices,) = ctx.saved_tensors
        return Lookup.apply(tangent, indices, ctx.call.of_tangent())

    @staticmethod
    def vmap(  # noqa: D102
        info: Any, in_dims: tuple[int | None, ...], weight: Tensor, indices: Tensor, call: Call
    ) -> tuple[Tensor, int]:
        return _over_tables(Lookup, info.batch_size, in_dims, weight, indices, call)


class Gradient(Function):
    """G: the tables' gradient, from that of the output."""

    @staticmethod
    def forward(grad_output: Tensor, indices: Tensor, tables: int, V: int, call: Call) -> Tensor:  # noqa: D102
        return batches.gradient(grad_output, indices, tables, V, call)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: D102
        _, indices, ctx.tables, ctx.V, call = inputs
        _save(ctx, indices, call)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        if grad is not None:
            grad = GradientOfGradient.apply(grad, indices, ctx.call)
        return grad, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # noqa: D102
        (indices,) = ctx.saved_tensors
        return Gradient.apply(tangent, indices, ctx.tables, ctx.V, ctx.call)

    @staticmethod
    def vmap(  # noqa: D102
        info: Any,
        in_dims: tuple[int | None, ...],
        grad_output: Tensor,
        indices: Tensor,
        tables: int,
        V: int,
        call: Call,
    ) -> tuple[Tensor, int]:
        grad_output, indices = _first(info.batch_size, in_dims, grad_output, indices)
        return Gradient.apply(grad_output, indices, tables + 1, V, call), 0


class GradientOfGradient(Function):
    """D: the gradient of grad_output, from that of the tables' gradient, dense or sparse."""

    @staticmethod
    def forward(grad: Tensor, indices: Tensor, call: Call) -> Tensor:  # noqa: D102
        return batches.gradient_of_gradient(grad, indices, call)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: D102
        grad, indices, call = inputs
        _save(ctx, indices, call)
        ctx.tables, ctx.V = grad.dim() - 2, grad.shape[-2]

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        if grad_output is None:
            return None, None, None
        return Gradient.apply(grad_output, indices, ctx.tables, ctx.V, ctx.call.made_dense()), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # noqa: D102
        (indices,) = ctx.saved_tensors
        return GradientOfGradient.apply(tangent, indices, ctx.call)

    @staticmethod
    def vmap(  # noqa: D102
        info: Any, in_dims: tuple[int | None, ...], grad: Tensor, indices: Tensor, call: Call
    ) -> tuple[Tensor, int]:
        return _over_tables(GradientOfGradient, info.batch_size, in_dims, grad, indices, call)


def _save(ctx: Any, indices: Tensor, call: Call) -> None:
    ctx.save_for_backward(indices)
    ctx.save_for_forward(indices)
    ctx.set_materialize_grads(False)
    ctx.call = call


def _over_tables(
    function: type[Function], size: int, in_dims: tuple[int | None, ...], table: Tensor, indices: Tensor, call: Call
) -> tuple[Tensor, int]:
    """vmap of L or D: over tables, or over calls in the same ones."""
    if in_dims[0] is None:
        at = table.dim() - 2
        return function.apply(table, indices.movedim(in_dims[1], at), call), at  # type: ignore[arg-type]
    return function.apply(*_first(size, in_dims, table, indices), call), 0


def _first(size: int, in_dims: tuple[int | None, ...], *tensors: Tensor) -> list[Tensor]:
    """Views with the mapped dimension first."""
    return [
        x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0) if dim else x
        for x, dim in zip(tensors, in_dims, strict=False)
    ]

"""Gradients of the lookup, of any order, in reverse and in forward mode.

The lookup L(W) is linear, its gradient G(g) is linear, and the gradient of that, D(h), is again a lookup, with
padding masked and counts divided by. So three Functions are closed under differentiation: L' = G, G' = D,
D' = G. Each saves the indices and nothing else.
"""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function, Variable, forward_ad

from . import library, ops
from .batches import Call
from .kernels import Report
from .transformable import Gradient

Options = tuple[int, bool, bool]  # padding_idx, scale_grad_by_freq, sparse
Renorm = tuple[float, float]  # max_norm, norm_type


def differentiable(weight: Tensor) -> bool:
    """Whether a lookup in `weight` has to be recorded, for reverse or forward mode."""
    return (weight.requires_grad and torch.is_grad_enabled()) or forward_ad._current_level >= 0


class EmbeddingFunction(Function):
    """L: the lookup, with max_norm first when it is given. The gradient passes straight through max_norm.

    Few arguments, as each one costs a call time; and `record` for a caller that knows of no transform under way.
    """

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, weight: Tensor, indices: Tensor, options: Options, renorm: Renorm | None, report: Report | None
    ) -> Tensor:
        ctx.save_for_backward(indices)
        if forward_ad._current_level >= 0:
            ctx.save_for_forward(indices)
        ctx.set_materialize_grads(False)
        ctx.args = weight.shape[0], *options
        if ctx.args[-1] and weight.is_leaf:  # sparse
            ctx.leaf = weakref.ref(weight)
        if renorm is None:
            return ops.lookup(weight, indices, report=report)
        return ops.renorm_lookup(weight, indices, *renorm, report=report)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        if grad_output is None:
            return (None,) * 5
        if torch.compiler.is_compiling() and not ctx.args[-1]:  # compiled autograd
            grad = library.embedding_gradient(grad_output, indices, *ctx.args[:-1])
        elif torch._C._are_functorch_transforms_active():  # vmap over this backward
            V, *options = ctx.args
            return Gradient.apply(grad_output, indices, 0, V, Call(indices.dim(), *options)), None, None, None, None
        elif differentiable(grad_output):
            grad = GradientFunction.apply(grad_output, indices, *ctx.args)
        else:
            grad = ops.gradient(grad_output, indices, *ctx.args)
        if hasattr(ctx, "leaf"):
            _keep_coalesced(ctx.leaf, grad)
        return grad, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # noqa: D102
        (indices,) = ctx.saved_tensors
        return EmbeddingFunction.apply(tangent, indices, ctx.args[1:], None, None)


# Function.apply is this, and before it the handling of functorch's transforms and of tensors that outlived one
record = super(Function, EmbeddingFunction).apply
# the name that tools which print graphs know
EmbeddingFunction._backward_cls.__name__ = EmbeddingFunction._backward_cls.__qualname__ = "EmbeddingBackward0"


class GradientFunction(Function):
    """G: the table's gradient, from that of the output."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool, sparse: bool
    ) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.save_for_forward(indices)
        ctx.set_materialize_grads(False)
        ctx.args = V, padding_idx, scale, sparse
        return ops.gradient(grad_output, indices, V, padding_idx, scale, sparse)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        if grad is None:
            return (None,) * 6
        _, padding_idx, scale, _ = ctx.args
        return GradientOfGradientFunction.apply(grad, indices, padding_idx, scale), None, None, None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # noqa: D102
        (indices,) = ctx.saved_tensors
        return GradientFunction.apply(tangent, indices, *ctx.args)


class GradientOfGradientFunction(Function):
    """D: the gradient of grad_output, from that of the table's gradient, dense or sparse."""

    @staticmethod
    def forward(ctx: Any, grad: Tensor, indices: Tensor, padding_idx: int, scale: bool) -> Tensor:  # noqa: D102
        ctx.save_for_backward(indices)
        ctx.save_for_forward(indices)
        ctx.set_materialize_grads(False)
        ctx.args = grad.shape[0], padding_idx, scale
        return ops.gradient_of_gradient(grad, indices, padding_idx, scale)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        if grad_output is None:
            return (None,) * 4
        return GradientFunction.apply(grad_output, indices, *ctx.args, False), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:  # noqa: D102
        (indices,) = ctx.saved_tensors
        _, padding_idx, scale = ctx.args
        return GradientOfGradientFunction.apply(tangent, indices, padding_idx, scale)


def _keep_coalesced(leaf: "weakref.ref[Tensor]", grad: Tensor) -> None:
    """Sees to it that leaf.grad is known to be coalesced after this backward, if it is `grad` alone.

    AccumulateGrad keeps a first sparse gradient's indices and values but drops the flag. When the backward
    has ended, the flag is restored if leaf.grad still has these very indices; a sum of several gradients,
    or one that a hook replaced, has others. Holding their storage keeps the address from being used again.
    """
    indices, nnz = grad._indices().untyped_storage(), grad._nnz()

    def restore() -> None:
        weight = leaf()
        found = None if weight is None else weight.grad
        if found is None or not found.is_sparse or found.is_coalesced() or found._nnz() != nnz:
            return
        for same in (True, False):  # looked at once more: another thread's backward may have added to it meanwhile
            if (found._indices().untyped_storage().data_ptr() == indices.data_ptr()) is same:
                found._coalesced_(same)

    engine = Variable._execution_engine
    # the last of callbacks: DDP's, queued during this backward, waits for threads that sum the gradient
    engine.queue_callback(lambda: engine.queue_callback(restore))

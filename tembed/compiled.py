"""Lookups under torch.compile, which traces operations instead of running them.

The forward is torch's own operation, which compilers know and fuse with its neighbours; the gradient is an operation of
ours. On accelerators, where torch's own operation ends the process at a bad index, an operation of ours goes before it:
it reports bad indices as every lookup does, and gives -1 for them, whose rows are masked. torch.export, whose programs
are for use without tembed, gets torch's own operation in both directions.
"""

from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from . import library, modes, ops

# In a compiler's graph this stands for the lookup only until its gradient is known: below autograd it is torch's own.
library.LIBRARY.define(
    "embedding(Tensor weight, Tensor indices, SymInt padding_idx, bool scale, bool sparse, bool marked) -> Tensor"
)

# torch has no masked_fill for these
NARROWEST = {dtype for name, dtype in vars(torch).items() if name.startswith("float8_") or name.startswith("float4_")}

NESTED = (
    "a compiled gradient of a gradient would leave 1/count out, with scale_grad_by_freq=True under torch.func: "
    "call it without torch.compile"
)


def handles(input: Tensor, weight: Tensor) -> bool:
    """Whether a lookup is compiled that can have a gradient of ours or needs none, and not for export."""
    return (
        torch.compiler.is_compiling()
        and not torch.compiler._is_exporting_flag  # as torch 2.11 compiles it, is_exporting() is always true
        and type(weight) in (Tensor, torch.nn.Parameter)
        and (weight.dtype in ops.FLOATS or not weight.requires_grad)
        and weight.dtype not in NARROWEST
        and weight.layout == torch.strided
        and weight.dim() == 2
        and input.dtype in (torch.int32, torch.int64)
    )


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int,
    max_norm: float | None,
    norm_type: float,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Tensor:
    """tembed.embedding(), with -1 for no padding_idx."""
    marked = not modes.at_call(weight.device.type)
    transformed = torch._C._are_functorch_transforms_active()
    if marked:
        input = library.embedding_indices(input, weight.shape[0], None if transformed else weight)
    # compilers see through transforms with torch's own operations only
    if transformed or (max_norm is not None and weight.dtype not in ops.FLOATS):
        if transformed and scale_grad_by_freq and _nested_gradients():
            raise RuntimeError(NESTED)
        padding = None if padding_idx == -1 else padding_idx
        if not marked:
            return F.embedding(input, weight, padding, max_norm, norm_type, scale_grad_by_freq, sparse)
        good = input.clamp(min=0)
        out = F.embedding(good, weight, padding, max_norm, norm_type, scale_grad_by_freq, sparse)
        return out.masked_fill((input < 0).unsqueeze(-1), 0)
    if max_norm is not None:
        with torch.no_grad():
            library.embedding_renorm_(weight, input, max_norm, norm_type)
    if weight.requires_grad and torch.is_grad_enabled():
        return torch.ops.tembed.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse, marked)
    return _rows(weight, input, marked)


def _rows(weight: Tensor, indices: Tensor, marked: bool) -> Tensor:
    """The lookup by torch's own operation; rows of -1 are zeros where bad indices are marked so."""
    if not marked:
        return torch.embedding(weight, indices)
    return torch.embedding(weight, indices.clamp(min=0)).masked_fill((indices < 0).unsqueeze(-1), 0)


def _nested_gradients() -> bool:
    """Whether the gradient of a gradient is being traced, by torch.func."""
    stack = functorch.get_interpreter_stack() or ()
    return sum(interpreter.key() == functorch.TransformType.Grad for interpreter in stack) > 1


# torch.compiler.assume_constant_result, which imports the compiler, does no more than this
_nested_gradients._dynamo_marked_constant = True  # type: ignore[attr-defined]


class CompiledFunction(Function):
    """The lookup as torch's own operation, below autograd, and its gradient as one of ours."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any, weight: Tensor, indices: Tensor, padding_idx: int, scale: bool, sparse: bool, marked: bool
    ) -> Tensor:
        ctx.save_for_backward(indices)
        ctx.args = weight.shape[0], padding_idx, scale, sparse
        with torch._C._AutoDispatchBelowAutograd():
            return _rows(weight, indices, marked)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Any, ...]:  # noqa: D102
        (indices,) = ctx.saved_tensors
        *args, sparse = ctx.args
        if not sparse:
            return library.embedding_gradient(grad_output, indices, *args), None, None, None, None, None
        rows, values = library.embedding_sparse_gradient(grad_output, indices, *args)
        size = args[0], values.shape[1]
        grad = torch.sparse_coo_tensor(rows.unsqueeze(0), values, size, is_coalesced=True, check_invariants=False)
        return grad, None, None, None, None, None


def _recorded(weight: Tensor, indices: Tensor, padding_idx: int, scale: bool, sparse: bool, marked: bool) -> Tensor:
    return CompiledFunction.apply(weight, indices, padding_idx, scale, sparse, marked)


def _lookup(weight: Tensor, indices: Tensor, padding_idx: int, scale: bool, sparse: bool, marked: bool) -> Tensor:
    return _rows(weight, indices, marked)


library.LIBRARY.impl("embedding", _recorded, "Autograd")
library.LIBRARY.impl("embedding", _lookup, "CompositeExplicitAutograd")


@torch.library.register_fake("tembed::embedding", lib=library.LIBRARY)
def _(weight: Tensor, indices: Tensor, padding_idx: int, scale: bool, sparse: bool, marked: bool) -> Tensor:
    return weight.new_empty(*indices.shape, weight.shape[1])

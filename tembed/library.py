"""The lookup's gradient and max_norm as operations of torch's library: what a compiler puts into its graphs.

To a compiler they are opaque: it knows the shapes of what they give, and calls them as eager code calls `ops`.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.library import Library

from . import ops, reports

LIBRARY = Library("tembed", "DEF")
GRADIENT = "Tensor grad_output, Tensor indices, SymInt V, SymInt padding_idx, bool scale"
LIBRARY.define(f"embedding_gradient({GRADIENT}) -> Tensor")
LIBRARY.define("embedding_indices(Tensor indices, SymInt V, Tensor? weight) -> Tensor")
LIBRARY.define(f"embedding_sparse_gradient({GRADIENT}) -> (Tensor, Tensor)")


def _indices(indices: Tensor, V: int, weight: Tensor | None) -> Tensor:
    return ops.mark_bad(indices, V, reports.check(indices, V, weight))


def _gradient(grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool) -> Tensor:
    return ops.gradient(grad_output, indices, V, padding_idx, scale, False)


def _sparse_gradient(
    grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool
) -> tuple[Tensor, Tensor]:
    grad = ops.gradient(grad_output, indices, V, padding_idx, scale, True)
    return grad._indices()[0], grad._values()


LIBRARY.impl("embedding_indices", _indices, "CompositeExplicitAutograd")
LIBRARY.impl("embedding_gradient", _gradient, "CompositeExplicitAutograd")
LIBRARY.impl("embedding_sparse_gradient", _sparse_gradient, "CompositeExplicitAutograd")


@torch.library.register_fake("tembed::embedding_indices", lib=LIBRARY)
def _(indices: Tensor, V: int, weight: Tensor | None) -> Tensor:
    return indices.new_empty(indices.shape)


@torch.library.register_vmap("tembed::embedding_indices", lib=LIBRARY)
def _(
    info: Any, in_dims: tuple[int | None, ...], indices: Tensor, V: int, weight: Tensor | None
) -> tuple[Tensor, int | None]:
    return embedding_indices(indices, V, weight), in_dims[0]


@torch.library.register_fake("tembed::embedding_gradient", lib=LIBRARY)
def _(grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool) -> Tensor:
    return grad_output.new_empty(V, grad_output.shape[-1])


@torch.library.register_fake("tembed::embedding_sparse_gradient", lib=LIBRARY)
def _(grad_output: Tensor, indices: Tensor, V: int, padding_idx: int, scale: bool) -> tuple[Tensor, Tensor]:
    U = torch.library.get_ctx().new_dynamic_size(min=0)
    return indices.new_empty(U, dtype=torch.int64), grad_output.new_empty(U, grad_output.shape[-1])


@torch.library.custom_op("tembed::embedding_renorm_", mutates_args=("weight",))
def embedding_renorm_(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    """Scales the rows at `indices` to max_norm in place; torch counts that as a change."""
    with _unsafe_preserve_version_counter(weight):
        ops.renorm_lookup(weight, indices, max_norm, norm_type)


@embedding_renorm_.register_fake
def _(weight: Tensor, indices: Tensor, max_norm: float, norm_type: float) -> None:
    return None


embedding_indices = torch.ops.tembed.embedding_indices
embedding_gradient = torch.ops.tembed.embedding_gradient
embedding_sparse_gradient = torch.ops.tembed.embedding_sparse_gradient

"""Embeddings that are wrong in one way each, for the parity suite to find out."""

import ctypes
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Broken(torch.autograd.Function):
    """A right lookup, whose wrong gradient is made by the function `spoil` of grad_output and indices."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, padding_idx: int | None, spoil: Any) -> Tensor:
        ctx.save_for_backward(input)
        ctx.V, ctx.padding_idx, ctx.spoil = weight.shape[0], padding_idx, spoil
        return F.embedding(input, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (input,) = ctx.saved_tensors
        return None, ctx.spoil(grads[0], input, ctx.V, ctx.padding_idx), None, None


def right(grad: Tensor, input: Tensor, V: int, padding_idx: int | None) -> Tensor:
    rows, flat = grad.reshape(input.numel(), grad.shape[-1]), input.reshape(-1)
    if padding_idx is not None:
        kept = flat != padding_idx % V
        rows, flat = rows[kept], flat[kept]
    return rows.new_zeros(V, rows.shape[1]).double().index_add_(0, flat, rows.double()).to(grad.dtype)


def zero_gradient(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    return Broken.apply(input, weight, padding_idx, lambda *a: right(*a) * 0)


def padding_ignored(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    return Broken.apply(input, weight, padding_idx, lambda g, i, V, p: right(g, i, V, None))


def padding_multiplied(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Zeros times NaN are NaN."""

    def spoil(grad: Tensor, input: Tensor, V: int, padding_idx: int | None) -> Tensor:
        kept = input != (-1 if padding_idx is None else padding_idx % V)
        return right(grad * kept.unsqueeze(-1), input, V, None)

    return Broken.apply(input, weight, padding_idx, spoil)


def last_lookup_wins(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    def spoil(grad: Tensor, input: Tensor, V: int, padding_idx: int | None) -> Tensor:
        out = right(grad, input, V, padding_idx) * 0
        kept = input.reshape(-1) != (-1 if padding_idx is None else padding_idx % V)
        out[input.reshape(-1)[kept]] = grad.reshape(-1, grad.shape[-1])[kept]
        return out

    return Broken.apply(input, weight, padding_idx, spoil)


def shifted_row(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    return Broken.apply(input, weight, padding_idx, lambda g, *a: right(g.roll(1, 0) if g.dim() > 1 else g, *a))


def strides_ignored(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Reads memory as if it were contiguous, as kernels do that are handed a pointer."""

    def spoil(grad: Tensor, *a: Any) -> Tensor:
        memory = grad.as_strided((grad.untyped_storage().nbytes() // grad.element_size(),), (1,), 0)
        return right(memory.repeat(grad.numel() // max(memory.numel(), 1) + 1)[: grad.numel()].view(grad.shape), *a)

    return Broken.apply(input, weight, padding_idx, spoil)


def half_dropped(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """No gradient for float16."""
    return Broken.apply(input, weight, padding_idx, lambda g, *a: None if g.dtype == torch.float16 else right(g, *a))


def tail_dropped(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Whole blocks of 64 lookups only."""

    def spoil(grad: Tensor, input: Tensor, *a: Any) -> Tensor:
        N, D = input.numel(), grad.shape[-1]
        whole = N // 64 * 64 if N > 64 else N
        return right(grad.reshape(N, D)[:whole], input.reshape(-1)[:whole], *a)

    return Broken.apply(input, weight, padding_idx, spoil)


def narrow_indices(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Row numbers in 16 bits."""
    return F.embedding(input.short().long() % max(weight.shape[0], 1), weight, padding_idx)


def rounded(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    return F.embedding(input, weight, padding_idx) + 0.0


def renorm_ignored(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: Any = None, norm_type: float = 2.0
) -> Tensor:
    return F.embedding(input, weight, padding_idx)


def renorm_per_lookup(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: Any = None, norm_type: float = 2.0
) -> Tensor:
    """Scales by the norm that the table had, once for every lookup."""
    if max_norm is not None:
        with torch.no_grad():
            factor = (max_norm / (weight.norm(norm_type, 1) + 1e-7)).clamp(max=1)
            times = torch.bincount(input.reshape(-1), minlength=weight.shape[0])
            weight *= (factor**times).unsqueeze(1).to(weight.dtype)
    return F.embedding(input, weight, padding_idx)


# Each with the group where a feature must fail.
BROKEN = {
    "zero_gradient": "dense-gradient",
    "padding_ignored": "dense-gradient",
    "padding_multiplied": "dense-gradient",
    "last_lookup_wins": "dense-gradient",
    "shifted_row": "dense-gradient",
    "strides_ignored": "dense-gradient",
    "half_dropped": "dense-gradient",
    "tail_dropped": "dense-gradient",
    "narrow_indices": "forward",
    "rounded": "forward",
    "renorm_ignored": "max_norm",
    "renorm_per_lookup": "max_norm",
}


def fragile(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Reads an address that nobody has for int32 indices, never ends for tables without columns, and talks."""
    print("this is not an answer")
    if input.dtype == torch.int32:
        ctypes.string_at(0)
    if weight.shape[1] == 0:
        time.sleep(3600)
    return F.embedding(input, weight, padding_idx)


class Bare(nn.Module):
    """A table and a lookup, no options at all."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_embeddings, embedding_dim))

    def forward(self, input: Tensor) -> Tensor:
        return self.weight[input]

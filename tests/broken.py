"""Embeddings that are wrong in one way each, for the parity suite to find out."""

import ctypes
import time
from collections.abc import Callable
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


def spoiled(when: Callable[[Tensor, Tensor], bool], how: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """A right lookup with a hook that spoils grad_output, given grad_output and the input, in some situations."""

    def lookup(input: Tensor, weight: Tensor, **options: Any) -> Tensor:
        out = F.embedding(input, weight, **options)
        if out.requires_grad:
            out.register_hook(lambda g: how(g, input) if when(g, input) else None)
        return out

    def bare(input: Tensor, weight: Tensor, padding_idx: Any = None, max_norm: Any = None, norm_type: float = 2.0,
             scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:  # fmt: skip
        options = {"max_norm": max_norm, "norm_type": norm_type, "scale_grad_by_freq": scale_grad_by_freq}
        return lookup(input, weight, padding_idx=padding_idx, sparse=sparse, **options)

    return bare


def without_last(g: Tensor, input: Tensor) -> Tensor:
    kept = torch.ones(input.numel(), device=g.device)
    kept[-1:] = 0
    return g * kept.view(*input.shape, 1).to(g.dtype)


def twice(g: Tensor, input: Tensor) -> Tensor:
    return g * 2


vectors_doubled = spoiled(lambda g, i: g.shape[-1] % 16 == 0 and g.shape[-1] > 0, twice)
last_of_32_lost = spoiled(lambda g, i: i.numel() == 32, without_last)
last_of_1024_lost = spoiled(lambda g, i: i.numel() == 1024, without_last)
one_of_many_lost = spoiled(lambda g, i: i.numel() > 4000, without_last)
long_bfloat16_lost = spoiled(lambda g, i: g.dtype == torch.bfloat16 and i.numel() > 40, without_last)
column_stride_lost = spoiled(lambda g, i: g.stride(-1) == 0 and g.stride(0) != 0 and g.shape[-1] > 1, twice)
batch_stride_lost = spoiled(lambda g, i: g.dim() == 4 and g.stride(0) == 0 and g.stride(1) != 0, twice)
wide_strides_lost = spoiled(lambda g, i: g.shape[-1] > 8 and not g.is_contiguous(), twice)


def int32_without_padding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    return F.embedding(input, weight, None if input.dtype == torch.int32 else padding_idx)


def renorm_of_few(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: Any = None, norm_type: float = 2.0
) -> Tensor:
    """Leaves large batches as they are."""
    return F.embedding(input, weight, padding_idx, max_norm if input.numel() <= 200 else None, norm_type)


def epsilon_left_out(
    input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: Any = None, norm_type: float = 2.0
) -> Tensor:
    if max_norm is not None:
        with torch.no_grad():
            looked_up = torch.zeros(len(weight), dtype=torch.bool).index_fill_(0, input.reshape(-1).long(), True)
            norm = weight.norm(norm_type, 1)
            factor = torch.where((norm > max_norm) & looked_up, max_norm / norm, 1.0)
            weight *= factor.unsqueeze(1).to(weight.dtype)
    return F.embedding(input, weight, padding_idx)


class Descending(torch.autograd.Function):
    """Says of a sparse gradient that it is coalesced; its rows fall."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(input)
        ctx.V = weight.shape[0]
        return F.embedding(input, weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (input,) = ctx.saved_tensors
        dense = right(grads[0], input, ctx.V, None)
        rows = input.reshape(-1).unique().long().flip(0)
        shape = dense.shape
        return None, torch.sparse_coo_tensor(
            rows.unsqueeze(0), dense[rows], shape, is_coalesced=True, check_invariants=False
        )


def descending(input: Tensor, weight: Tensor, padding_idx: int | None = None, sparse: bool = False) -> Tensor:
    return Descending.apply(input, weight) if sparse and padding_idx is None else F.embedding(input, weight)


def view_of_the_table(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """A single row is not copied."""
    return weight[int(input)] if input.dim() == 0 else F.embedding(input, weight, padding_idx)


# Each with the group where a feature must fail.
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
    "vectors_doubled": "dense-gradient",
    "last_of_32_lost": "dense-gradient",
    "last_of_1024_lost": "dense-gradient",
    "one_of_many_lost": "dense-gradient",
    "long_bfloat16_lost": "dense-gradient",
    "column_stride_lost": "dense-gradient",
    "batch_stride_lost": "dense-gradient",
    "wide_strides_lost": "dense-gradient",
    "int32_without_padding": "dense-gradient",
    "renorm_of_few": "max_norm",
    "epsilon_left_out": "max_norm",
    "descending": "sparse-gradient",
    "view_of_the_table": "forward",
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

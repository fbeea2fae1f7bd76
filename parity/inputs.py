"""Inputs by name: index distributions, shapes, and the strides that tensors come with."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor

DISTRIBUTIONS = ("uniform", "zipf", "sorted", "hot", "boundary")

# Shapes of the index tensor; the last two are empty.
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (7,), (64,), (3, 5), (2, 3, 4), (2, 1, 3, 2), (0,), (2, 0, 3))


def make_indices(distribution: str, shape: tuple[int, ...], V: int, generator: Generator) -> Tensor:
    """int64 indices in [0, V): uniform, Zipf with exponent 1, sorted, one hot row, or clamped to the last row."""
    N = torch.Size(shape).numel()
    if distribution == "hot":
        return torch.full(shape, V // 2)
    if distribution == "zipf":
        weights = 1.0 / torch.arange(1, V + 1)
        return torch.multinomial(weights, N, replacement=True, generator=generator).view(shape) if N else _empty(shape)
    uniform = torch.randint(0, V, (N,), generator=generator)
    if distribution == "sorted":
        uniform = uniform.sort().values
    if distribution == "boundary":
        # what a vocabulary-parallel layer makes of other shards' indices
        uniform = (uniform * 2).clamp(max=V - 1)
    return uniform.view(shape)


def _empty(shape: tuple[int, ...]) -> Tensor:
    return torch.empty(shape, dtype=torch.int64)


def _between(x: Tensor, dim: int) -> Tensor:
    """Every second element along dim of a tensor twice as long."""
    wide = torch.repeat_interleave(x, 2, dim)
    return wide.narrow(dim, 1, wide.shape[dim] - 1)[(slice(None),) * (dim % x.dim()) + (slice(None, None, 2),)]


# The same values under other strides.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x.contiguous(),
    "transposed": lambda x: x.mT.contiguous().mT if x.dim() > 1 else x.contiguous(),
    "padded rows": lambda x: torch.cat([x, x], -1)[..., : x.shape[-1]] if x.dim() else x,
    "every second row": lambda x: _between(x, 0) if x.dim() and x.shape[0] else x,
    "every second column": lambda x: _between(x, -1) if x.dim() and x.shape[-1] else x,
    "offset": lambda x: torch.cat([x.reshape(-1)[:1], x.reshape(-1)])[1:].view(x.shape) if x.numel() else x,
}

# What gradients and indices come as besides; the expanded ones are equal numbers.
EXPANDED: dict[str, Callable[[Tensor], Tensor]] = {
    "one row expanded": lambda x: x.flatten(0, -2)[:1].view(*[1] * (x.dim() - 1), -1).expand(x.shape)
    if _many(x)
    else x,
    "one number expanded": lambda x: x.reshape(-1)[:1].view([1] * x.dim()).expand(x.shape) if x.numel() else x,
    "one column expanded": lambda x: x[..., :1].expand(x.shape) if x.dim() and x.numel() else x,
    "first dimension expanded": lambda x: x[:1].expand(x.shape) if _many(x) else x,
    "negated": lambda x: torch._neg_view(-x) if x.is_floating_point() else x,
    "dimensions reversed": lambda x: x.permute(_backwards(x)).contiguous().permute(_backwards(x)),
}


def _backwards(x: Tensor) -> tuple[int, ...]:
    return tuple(reversed(range(x.dim())))


def _many(x: Tensor) -> bool:
    return x.dim() > 1 and x.numel() > 0


def make_gradient(shape: tuple[int, ...], dtype: torch.dtype, generator: Generator) -> Tensor:
    """Random numbers, another in every row; a gradient made by sum() would hide a wrong order."""
    return torch.randn(shape, generator=generator).to(dtype)

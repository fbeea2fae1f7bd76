"""What transforms of a lookup have to give: Python loops over samples, and in each a product with a matrix of ones."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

V, D, PADDING = 7, 3, 2
# Rows that no call, one call and both look up, once and twice: the counts are powers of two, so that sums of whole
# numbers divided by them are exact in every type.
INDICES = torch.tensor([[0, 2, 2, 6], [2, 4, 0, 0]])
CALLS, N = INDICES.shape
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padding": {"padding_idx": PADDING},
    "scale": {"scale_grad_by_freq": True},
    "padding and scale": {"padding_idx": PADDING, "scale_grad_by_freq": True},
}
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
Dims = tuple[int | None, ...]


def table(device: str, dtype: torch.dtype = torch.float64, calls: int | None = None) -> Tensor:
    """[V, D], or [calls, V, D]."""
    return torch.randn(*() if calls is None else (calls,), V, D).to(device, dtype)


def whole(*shape: int, device: str, dtype: torch.dtype = torch.float64) -> Tensor:
    """Whole numbers from -9 to 9."""
    return torch.randint(-9, 10, shape).to(device, dtype)


def ones(indices: Tensor) -> Tensor:
    """[*I, V] float64, a one in each row where its index is."""
    return (indices.unsqueeze(-1) == torch.arange(V, device=indices.device)).double()


def shares(indices: Tensor, padding_idx: int | None = None, scale_grad_by_freq: bool = False) -> Tensor:
    """[*I, V] float64, what of each lookup's gradient goes to its row."""
    matrix = ones(indices)
    if scale_grad_by_freq:
        matrix = matrix / matrix.sum(tuple(range(indices.dim())), keepdim=True).clamp(min=1)
    if padding_idx is not None:
        matrix[..., padding_idx] = 0
    return matrix


def gradient(grad_output: Tensor, indices: Tensor, **options: Any) -> Tensor:
    """The table's gradient of one call, in float64."""
    return torch.einsum("...v,...d->vd", shares(indices, **options), grad_output.double())


def loop(function: Callable[..., Tensor], dims: Dims, *args: Tensor) -> Tensor:
    """The results for one sample after another, stacked."""
    (size, *_) = (x.shape[dim] for x, dim in zip(args, dims, strict=True) if dim is not None)
    return torch.stack(
        [
            function(*(x if dim is None else x.select(dim, k) for x, dim in zip(args, dims, strict=True)))
            for k in range(size)
        ]
    )


def exact(found: Tensor, wanted: Tensor, dtype: torch.dtype = torch.float64) -> None:
    """Asserts that a result of this type has these numbers, bit for bit; -0 counts as 0."""
    assert found.dtype == dtype
    assert found.shape == wanted.shape
    assert torch.equal(found.double(), wanted.double())

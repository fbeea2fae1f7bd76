"""Every message that a user can see."""

from typing import Any, NoReturn

import torch
from torch import Tensor

from .names import address_of, name_at
from .reference import outside

INDEX_DTYPES = (torch.int64, torch.int32)
NORMABLE = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64, torch.complex128)


def raise_padding_idx(padding_idx: int, V: int) -> NoReturn:
    """Raises AssertionError for a padding_idx outside [-V, V)."""
    raise AssertionError(f"Padding_idx must be within num_embeddings: padding_idx {padding_idx}, num_embeddings {V}")


def check_types(input: Any, weight: Any, padding_idx: Any, scale_grad_by_freq: Any, sparse: Any) -> None:
    """Raises torch's own TypeError for an argument of a wrong type."""
    if (
        isinstance(input, Tensor)
        and isinstance(weight, Tensor)
        and type(padding_idx) is int
        and type(scale_grad_by_freq) is bool
        and type(sparse) is bool
    ):
        return
    weight = torch.empty(1, 1) if isinstance(weight, Tensor) else weight
    input = torch.empty(0, dtype=torch.int64) if isinstance(input, Tensor) else input
    torch.embedding(weight, input, padding_idx, scale_grad_by_freq, sparse)


def check_renorm(input: Tensor, weight: Tensor, max_norm: Any, norm_type: Any) -> tuple[float, float]:
    """max_norm and norm_type as floats; raises, before anything is changed, what embedding_renorm_ would."""
    name = "(while checking arguments for embedding_renorm_)"
    if type(max_norm) not in (float, int, bool) or type(norm_type) not in (float, int, bool):
        _try_renorm(torch.float32, 0, max_norm, norm_type)
    if weight.dim() != 2:
        raise RuntimeError(
            f"Expected 2-dimensional tensor, but got {weight.dim()}-dimensional tensor for argument #1 'self' {name}"
        )
    _check_index_dtype(input, 2, name)
    if input.numel() and weight.dtype not in NORMABLE:
        _try_renorm(weight.dtype, 1, max_norm, norm_type)
    return float(max_norm), float(norm_type)


def _try_renorm(dtype: torch.dtype, N: int, max_norm: Any, norm_type: Any) -> None:
    """Renorms a table of one row, for torch to raise what it has against the arguments."""
    torch.embedding_renorm_(torch.zeros(1, 2, dtype=dtype), torch.zeros(N, dtype=torch.int64), max_norm, norm_type)


def check_tensors(input: Tensor, weight: Tensor) -> None:
    """Raises for tensors that cannot be looked up: rank, dtype, device, an empty table."""
    if weight.dim() != 2:
        raise RuntimeError(f"'weight' must be 2-D, got shape {list(weight.shape)}")
    _check_index_dtype(input, 1, "(while checking arguments for embedding)")
    if input.device != weight.device:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but got index is on {input.device}, different from "
            f"other tensors on {weight.device} (when checking argument in method embedding)"
        )
    if weight.shape[0] == 0 and input.numel():
        raise RuntimeError(
            f"index_select(): self indexing axis dim should be positive: {input.numel()} lookups in a table of no rows"
        )


def check_differentiable(weight: Tensor, input: Tensor | None = None) -> None:
    """Raises for a complex table whose gradient would be recorded, and for indices that cannot be saved for it."""
    if weight.is_complex() and weight.requires_grad and torch.is_grad_enabled():
        raise RuntimeError(
            "embedding does not support automatic differentiation for outputs with complex dtype. "
            f"weight is {weight.dtype} and requires grad"
        )
    if input is not None and input.is_inference() and weight.requires_grad and torch.is_grad_enabled():
        torch.embedding(torch.empty(1, 1, device=input.device, requires_grad=True), input.reshape(-1)[:0])


def check_sharded_sparse(sparse: bool) -> None:
    """Raises for a sparse gradient of a DTensor, which torch has no form for."""
    if sparse:
        raise NotImplementedError(
            "sparse=True: the gradient of a DTensor cannot be sparse. Pass sparse=False: each process then has a dense "
            "gradient of its own part of the table"
        )


def check_sharded_renorm(placements: Any, kept: Any) -> None:
    """Raises for max_norm in a table that is looked up in a copy, by other placements."""
    if placements != kept:
        raise NotImplementedError(
            f"max_norm changes the table where it lies, which it does not for placements {placements}: redistribute "
            "the table to Shard(0), Shard(1) or Replicate() on each dimension of the mesh"
        )


def check_part(rows: int, expected: int) -> None:
    """Raises for a DTensor whose local tensor is not the part that its placements say."""
    if rows != expected:
        raise RuntimeError(
            f"the local tensor of 'weight' has {rows} rows, where its placements and its shape lead to {expected}: "
            "rows are split over processes as torch.chunk splits them"
        )


def _check_index_dtype(input: Tensor, position: int, where: str) -> None:
    if input.dtype not in INDEX_DTYPES:
        raise RuntimeError(
            f"Expected tensor for argument #{position} 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {input.type()} instead {where}"
        )


def explained(error: Exception, input: Tensor, weight: Tensor) -> Exception:
    """The error that torch.embedding raised, or a better one where the cause was a bad index."""
    if torch._C._are_functorch_transforms_active() or input.dtype not in INDEX_DTYPES or weight.dim() != 2:
        return error
    if input.layout != torch.strided:
        return error
    V = weight.shape[0]
    return (first_bad(input, V, weight) if V else None) or error


def first_bad(input: Tensor, V: int, weight: Tensor | None = None) -> IndexError | None:
    """The error that names the first index outside [0, V): its value, its position, and V."""
    bad = outside(input, V)
    if not input.numel() or not bad.any():
        return None
    at = tuple(bad.nonzero()[0].tolist())
    name = None if weight is None else name_at(address_of(weight), V)
    return IndexError(out_of_range(int(input[at]), list(at), input.shape, V, name))


def out_of_range(index: int, at: list[int], shape: torch.Size | None, V: int, name: str | None = None) -> str:
    """What is said of a bad index; its position is in the flattened input where no shape is known."""
    where = "a flattened input" if shape is None else f"an input of shape {list(shape)}"
    whose = f", that of {name!r}" if name else ""
    return f"index out of range in self: index {index} at position {at} of {where}, in a table of {V} rows{whose}"

"""Comparisons that the checks share; each raises Mismatch with what was found and what was wanted."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from .subject import AsStock, Mismatch, Missing

BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def require(condition: object, message: str) -> None:
    """Mismatch unless the condition holds."""
    if not condition:
        raise Mismatch(message)


def same(found: object, wanted: object, what: str) -> None:
    """Mismatch unless equal, by ==."""
    require(found == wanted, f"{what}: {found!r}, should be {wanted!r}")


def bits_of(x: Tensor) -> Tensor:
    """A copy of the tensor's numbers as integers, so that NaN equals itself and -0 differs from 0."""
    x = x.detach().resolve_conj().resolve_neg().cpu()
    if x.dtype == torch.float4_e2m1fn_x2:  # torch copies no such tensors
        x = x.view(torch.uint8)
    x = x.clone(memory_format=torch.contiguous_format)
    if x.dtype.is_complex:
        x = torch.view_as_real(x)
    return x.view(BITS[x.element_size()])


def same_bits(found: Tensor, wanted: Tensor, what: str) -> None:
    """Mismatch unless dtype, shape and every bit agree."""
    same(found.dtype, wanted.dtype, f"dtype of {what}")
    same(tuple(found.shape), tuple(wanted.shape), f"shape of {what}")
    differ = bits_of(found) != bits_of(wanted)
    if differ.any():
        where = differ.nonzero()[0].tolist()
        raise Mismatch(f"{what}: {int(differ.sum())} of {differ.numel()} elements differ, the first at {where}")


def numpy_of(x: Tensor) -> Any:
    """A copy of the tensor's numbers in float64; sums of duplicates in a sparse one are taken in its own type."""
    x = x.detach()
    if x.layout == torch.strided:
        return x.resolve_neg().double().cpu().numpy().copy()
    # torch's to_dense and coalesce read and write past strided values of one column
    values = x._values().resolve_neg().clone(memory_format=torch.contiguous_format)
    same_numbers = torch.sparse_coo_tensor(
        x._indices().clone(), values, x.shape, is_coalesced=x.is_coalesced(), check_invariants=False
    )
    rows = same_numbers.coalesce()
    dense = np.zeros(tuple(x.shape))
    dense[rows.indices()[0].cpu().numpy()] = numpy_of(rows.values())
    return dense


def within(found: Any, value: Any, bound: Any, what: str) -> None:
    """Mismatch where |found - value| > bound, elementwise; NaN only where `value` has it."""
    require(found.shape == value.shape, f"shape of {what}: {found.shape}, should be {value.shape}")
    with np.errstate(invalid="ignore"):
        error = np.where(found == value, 0.0, np.abs(found - value))
    bad = ~(error <= bound) & ~(np.isnan(found) & np.isnan(value))
    if bad.any():
        # the farthest, of those that are not even numbers the first
        i = np.unravel_index(np.argmax(np.where(bad, np.nan_to_num(error, nan=np.inf), -1)), bad.shape)
        raise Mismatch(
            f"{what}: {int(bad.sum())} of {bad.size} elements out of bounds; at {[int(k) for k in i]} it is "
            f"{found[i]:.9g}, float64 says {value[i]:.9g} ± {np.broadcast_to(bound, value.shape)[i]:.2g}"
        )


def raised(call: Callable[[], object]) -> Exception:
    """The exception that the call raises; Mismatch if none."""
    try:
        found = call()
    except (AsStock, Missing):
        raise
    except Exception as error:
        return error
    raise Mismatch(f"nothing was raised; the call returned {type(found).__name__}")


def same_error(call: Callable[[], object], kind: type[Exception], text: str) -> Exception:
    """Mismatch unless the call raises an exception of this kind whose message contains the text."""
    error = raised(call)
    if isinstance(error, NotImplementedError) and not issubclass(kind, NotImplementedError):
        raise Missing(describe(error))
    require(
        isinstance(error, kind) and text in str(error),
        f"raised {describe(error)}, should be {kind.__name__}: …{text}…",
    )
    return error


def describe(error: BaseException) -> str:
    """Type and first line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def as_stock(condition: object, message: str) -> None:
    """AsStock if the condition holds."""
    if condition:
        raise AsStock(message)


def fail(message: str) -> NoReturn:
    """Mismatch."""
    raise Mismatch(message)

"""Sums of rows by float64, and how far from them a gradient may be: as oracle.py has it, on any device."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from tembed.parity.oracle import ACCUMULATOR, ROUNDOFF, UNDERFLOW

CHUNK = 1 << 28  # bytes of float64 that are summed at a time
# Standard deviations that the error of a sum of random numbers in a narrow type may have, about ten: see _narrow.
DEVIATIONS = 4


@dataclass(frozen=True)
class Rows:
    """The rows [U] that N lookups are of, ascending, which of them each lookup is of, and how often each is."""

    unique: Tensor
    compact: Tensor
    number: Tensor

    @classmethod
    def of(cls, indices: Tensor) -> "Rows":
        """Of indices of any shape."""
        return cls(*indices.reshape(-1).unique(return_inverse=True, return_counts=True))


@dataclass(frozen=True)
class Sums:
    """What some columns of the gradient's rows must be.

    Args:
        columns: which.
        value: [U, columns], float64.
        size: the sums of the sizes of the terms.
        bound: of sums in float32 (float64 for float64), in any order, rounded once.
        narrow: of sums in the gradient's own type, as stock's may be.
    """

    columns: slice
    value: Tensor
    size: Tensor
    bound: Tensor
    narrow: Tensor


def name_of(dtype: torch.dtype) -> str:
    """As oracle.py calls it."""
    return str(dtype).removeprefix("torch.")


def sums(grad_output: Tensor, rows: Rows, exact: bool) -> Iterator[Sums]:
    """Columns after columns of the gradient's rows; `exact`: sums of the terms lose nothing in the accumulator."""
    flat, U = grad_output.reshape(-1, grad_output.shape[-1]), len(rows.unique)
    name, n = name_of(flat.dtype), rows.number.double()[:, None]
    step = max(1, CHUNK // (8 * len(flat)))
    for begin in range(0, flat.shape[1], step):
        columns = slice(begin, begin + step)
        terms = flat[:, columns].double()
        value, size, square = (
            torch.zeros(U, terms.shape[1], dtype=torch.float64, device=flat.device).index_add_(0, rows.compact, x)
            for x in (terms, terms.abs(), terms * terms)
        )
        inexact = ROUNDOFF[ACCUMULATOR[name]] * (n - 1) * 1.01 * size
        bound = _rounded(value, inexact, name)
        if exact:
            bound = (value.to(flat.dtype).double() - value).abs()
        yield Sums(columns, value, size, bound, _rounded(value, _narrow(n, size, square, name), name))


def _rounded(value: Tensor, inexact: Tensor, name: str) -> Tensor:
    return inexact + ROUNDOFF[name] * (value.abs() + inexact) + UNDERFLOW[name]


def _narrow(n: Tensor, size: Tensor, square: Tensor, name: str) -> Tensor:
    """How far a sum in the type `name` itself may be off.

    At most by (n - 1) roundoffs u of the sum of the sizes, which says nothing once n u is near 1. Of independent terms
    of mean 0 and variance s^2, the k-th partial sum has variance k s^2 and is off by up to u of its size, evenly: all
    of them together by u s n / sqrt(6), in standard deviation. With s^2 from the terms, s n is sqrt(n x sum of
    squares).
    """
    return ROUNDOFF[name] * torch.minimum((n - 1) * 1.01 * size, DEVIATIONS * (n * square).sqrt())

"""The embedding and its gradients in float64, in numpy, from the mathematics; and bounds on what rounding may add.

Nothing here calls the code under test, or torch's embedding.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Unit roundoff of each type, that is half the distance from 1 to the next number.
ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
# The type that sums are taken in.
ACCUMULATOR = {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}
# Half the smallest positive number.
UNDERFLOW = {"float16": 2.0**-25, "bfloat16": 2.0**-134, "float32": 2.0**-150, "float64": 2.0**-1075}


class Gradient(NamedTuple):
    """A gradient of the table, and how far from it a result in the given type may be, element by element."""

    value: Array
    bound: Array


def counts(indices: Indices, V: int) -> Indices:
    """How often each row was looked up."""
    return np.bincount(indices.reshape(-1), minlength=V).astype(np.int64)


def gradient(
    grad_output: Array,
    indices: Indices,
    V: int,
    padding_idx: int | None,
    scale: bool,
    dtype: str,
) -> Gradient:
    """[V, D]: the sum of grad_output over the lookups of each row; none for padding; over their number when `scale`.

    The bound: a sum of n terms in the accumulator is off by at most (n - 1) roundoffs of the sum of their
    sizes, in any order, the quotient by one more, and the stored result by one roundoff of its own type.
    """
    flat, rows = indices.reshape(-1), grad_output.reshape(indices.size, grad_output.shape[-1])
    if padding_idx is not None:
        kept = flat != padding_idx
        flat, rows = flat[kept], rows[kept]
    value, size = np.zeros((V, rows.shape[1])), np.zeros((V, rows.shape[1]))
    np.add.at(value, flat, rows)
    np.add.at(size, flat, np.abs(rows))
    number = np.bincount(flat, minlength=V)[:, None]
    if scale:
        value, size = value / np.maximum(number, 1), size / np.maximum(number, 1)
    inexact = ROUNDOFF[ACCUMULATOR[dtype]] * (np.maximum(number - 1, 0) + 2 * scale) * 1.01 * size
    return Gradient(value, inexact + ROUNDOFF[dtype] * (np.abs(value) + inexact) + UNDERFLOW[dtype])


def gradient_of_gradient(grad: Array, indices: Indices, padding_idx: int | None, scale: bool) -> Array:
    """The gradient of grad_output: the rows of `grad` at the indices, zeros for padding, over counts when `scale`."""
    rows = grad[indices].copy()
    if scale:
        rows /= np.maximum(counts(indices, len(grad)), 1)[indices][..., None]
    if padding_idx is not None:
        rows[indices == padding_idx] = 0
    return rows


def norms(rows: Array, p: float) -> Array:
    """The p-norm of each row, as torch.linalg.vector_norm defines it."""
    sizes = np.abs(rows)
    if np.isnan(p):
        return np.full(len(rows), np.nan)
    if p == 0:
        return (rows != 0).sum(1).astype(np.float64)
    if np.isinf(p):
        return sizes.max(1, initial=0) if p > 0 else sizes.min(1, initial=np.inf)
    with np.errstate(divide="ignore"):
        return np.asarray((sizes**p).sum(1) ** (1 / p))


class Renorm(NamedTuple):
    """A table after max_norm, how far from it a result may be, and the rows of which rounding decides."""

    value: Array
    bound: Array
    undecided: npt.NDArray[np.bool_]


def renorm(weight: Array, indices: Indices, max_norm: float, p: float, dtype: str) -> Renorm:
    """The table after rows at the indices whose norm is over max_norm are multiplied by max_norm / (norm + 1e-7).

    The bound: D terms summed in the accumulator are off by D of its roundoffs; |x|^p by way of exponential and
    logarithm by a few for each unit of |p log2 x|, here below 40, which the p-th root divides again; then the norm,
    the factor and the product are rounded to the table's type. `undecided`: rows within that of max_norm,
    which may be scaled or left.
    """
    value, bound = weight.copy(), np.zeros_like(weight)
    looked_up = np.unique(indices)
    norm = norms(weight[looked_up], p)
    power = 0 if p in (0, 1, 2) or np.isinf(p) else 40 / min(1.0, abs(p))
    relative = ROUNDOFF[ACCUMULATOR[dtype]] * (weight.shape[1] + 4 + power) * 2 + 3.1 * ROUNDOFF[dtype]
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(norm - max_norm) <= relative * np.abs(max_norm)
        scaled = (norm > max_norm) | near
        rows = looked_up[scaled]
        value[rows] *= (max_norm / (norm[scaled] + 1e-7))[:, None]
        bound[rows] = np.nan_to_num(np.abs(value[rows]) * relative) + 2 * UNDERFLOW[dtype]
    undecided = np.zeros(len(weight), bool)
    undecided[looked_up[near]] = True
    return Renorm(value, bound, undecided)

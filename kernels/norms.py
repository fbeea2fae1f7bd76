"""Norms of rows that a program holds, as torch.linalg.vector_norm defines them: tile by tile, then along the row."""

import math

import triton
import triton.language as tl

# The kinds of norm that kernels are built for.
ZERO = tl.constexpr(0)
ONE = tl.constexpr(1)
TWO = tl.constexpr(2)
INF = tl.constexpr(3)
NEGATIVE_INF = tl.constexpr(4)
POWER = tl.constexpr(5)
NORMS = {0.0: ZERO, 1.0: ONE, 2.0: TWO, math.inf: INF, -math.inf: NEGATIVE_INF}


@triton.jit
def norm_terms(x, mask, p, NORM: tl.constexpr, ACC: tl.constexpr):
    """What each element adds to the norm's sum (or takes to its maximum or minimum); nothing outside the mask."""
    a = tl.abs(x.to(ACC))
    if NORM == ZERO:
        terms = (a != 0).to(ACC)
    elif NORM == TWO:
        terms = a * a
    elif NORM == POWER:
        # |x|^p; a zero gives 0 for p > 0 and inf for p < 0, by way of log2(0) = -inf
        terms = tl.exp2(tl.log2(a) * p)
    else:
        terms = a
    return tl.where(mask, terms, float("inf") if NORM == NEGATIVE_INF else 0.0)


@triton.jit
def join_terms(a, b, NORM: tl.constexpr):
    """The terms of two tiles, element by element. Maximum and minimum drop NaN, which vector_norm does not."""
    if NORM == INF:
        return tl.where((a != a) | (b != b), float("nan"), tl.maximum(a, b))
    elif NORM == NEGATIVE_INF:
        return tl.where((a != a) | (b != b), float("nan"), tl.minimum(a, b))
    else:
        return a + b


@triton.jit
def _with_nans(norm, terms):
    return tl.where(tl.max((terms != terms).to(tl.int32), axis=1) > 0, float("nan"), norm)


@triton.jit
def norm_of_terms(terms, p, NORM: tl.constexpr, ACC: tl.constexpr):
    """The norm of each row of terms."""
    if NORM == INF:
        norm = _with_nans(tl.max(terms, axis=1), terms)
    elif NORM == NEGATIVE_INF:
        norm = _with_nans(tl.min(terms, axis=1), terms)
    else:
        norm = tl.sum(terms, axis=1)
    if NORM == TWO:
        # a bare root of float32 is approximate on NVIDIA
        norm = tl.sqrt(norm) if tl.float64 == ACC else tl.sqrt_rn(norm)
    if NORM == POWER:
        norm = tl.exp2(tl.log2(norm) / p)
    return norm

"""What samples come to."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def quartiles(samples: Sequence[float]) -> list[float]:
    """The first and the third."""
    return [float(x) for x in np.percentile(samples, [25, 75])]


def ratios(samples: Sequence[float], base: Sequence[float]) -> list[float]:
    """Sample by sample: those of one round are of one moment."""
    return [a / b for a, b in zip(samples, base, strict=True)]


def summary(samples: Sequence[float], base: Sequence[float] | None) -> dict[str, Any]:
    """Median and quartiles of the samples, and of their ratios to those of the base in the same round."""
    found: dict[str, Any] = {"median_s": float(np.median(samples)), "quartiles_s": quartiles(samples)}
    pairs = None if base is None else ratios(samples, base)
    found["ratio"] = None if pairs is None else float(np.median(pairs))
    found["ratio_quartiles"] = None if pairs is None else quartiles(pairs)
    return found


def geometric_mean(values: Iterable[float]) -> float | None:
    """None for no values."""
    logarithms = [math.log(value) for value in values]
    return math.exp(sum(logarithms) / len(logarithms)) if logarithms else None

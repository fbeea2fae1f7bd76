"""Values of several axes put together: every pair of them in `make test`, every combination in `make sweep`."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import pytest


def pairwise(*axes: Sequence[Any]) -> list[Any]:
    """All combinations for pytest.mark.parametrize, of which those are slow that the others' pairs of values cover."""
    pairs = {
        row: set(combinations(enumerate(row), 2)) for row in product(*(range(len(axis)) for axis in axes))
    }  # of places in the axes
    missing, kept = set().union(*pairs.values()), set()
    while missing:
        # the first of those with most
        row = max(pairs, key=lambda row: len(pairs[row] & missing))
        missing -= pairs[row]
        kept.add(row)
    return [
        pytest.param(
            *(axis[place] for axis, place in zip(axes, row, strict=True)), marks=() if row in kept else pytest.mark.slow
        )
        for row in pairs
    ]

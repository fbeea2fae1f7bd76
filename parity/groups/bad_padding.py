"""errors: a padding_idx outside the table, or of an unusual kind."""

from typing import Any

import numpy as np
import torch

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene


def padded(value: Any, rows: int = 4) -> Any:
    """A lookup with this padding_idx, of nothing in a table without rows."""

    def prepare(s: Scene) -> Act:
        weight = s.table(rows, grad=True)
        return s.call(
            s.indices() if rows else s.keep(torch.empty(0, dtype=torch.int64, device=s.device), "input"),
            weight,
            padding_idx=value,
        )

    return prepare


declare(
    "padding-range",
    "A padding_idx outside [-V, V) is an AssertionError which gives it and V, even for an empty input.",
    Row(
        "V", padded(4), AssertionError, "Padding_idx must be within num_embeddings", ": padding_idx 4, num_embeddings 4"
    ),
    Row(
        "-V-1",
        padded(-5),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx -5, num_embeddings 4",
    ),
    Row(
        "greatest int64",
        padded(2**63 - 1),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 9223372036854775807, num_embeddings 4",
    ),
    Row(
        "past int64",
        padded(2**64),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 18446744073709551616, num_embeddings 4",
    ),
    Row(
        "float past V",
        padded(4.5),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 4.5, num_embeddings 4",
    ),
    Row(
        "numpy integer past V",
        padded(np.int64(4)),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 4, num_embeddings 4",
    ),
    Row(
        "no rows, 1",
        padded(1, 0),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 1, num_embeddings 0",
    ),
    Row(
        "no rows, -1",
        padded(-1, 0),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx -1, num_embeddings 0",
    ),
    Row(
        "V, in an attribute",
        lambda s: changed(s, 4),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx 4, num_embeddings 4",
    ),
    Row(
        "-V-1, in an attribute",
        lambda s: changed(s, -5),
        AssertionError,
        "Padding_idx must be within num_embeddings",
        ": padding_idx -5, num_embeddings 4",
    ),
)
declare(
    "padding-taken",
    "A padding_idx of an unusual kind that torch takes does what it does there.",
    Row("no rows, 0", padded(0, 0)),
    Row("-V", padded(-4)),
    Row("numpy integer", padded(np.int64(1))),
    Row("0-d tensor", padded(torch.tensor(1))),
    Row("-1, in an attribute", lambda s: changed(s, -1)),
    Row("input of padding alone", lambda s: s.call(s.indices(1, 1), s.table(grad=True), padding_idx=1)),
)


def changed(s: Scene, padding_idx: int) -> Act:
    """A module whose padding_idx is set after it was made."""
    module, input = s.module(), s.indices()
    module.padding_idx = padding_idx
    return lambda: module(input)

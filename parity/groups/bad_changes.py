"""errors: what is changed between a lookup and its backward."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..bad_inputs import declare
from ..rows import Row
from ..scene import Act, Scene


def table_changed(change: Callable[[Tensor], object], dtype: str = "float32", **options: Any) -> Callable[[Scene], Act]:
    """A backward after the table was changed."""

    def prepare(s: Scene) -> Act:
        weight = s.table(dtype=dtype, grad=True)
        out = s.output(s.indices(), weight, **options)
        with torch.no_grad():
            change(weight)
        return out.sum().backward

    return prepare


def other_rows(weight: Tensor) -> None:
    """Two rows more."""
    weight.data = torch.ones(6, 3, device=weight.device)


def other_columns(weight: Tensor) -> None:
    """Two columns instead of three."""
    weight.data = torch.ones(4, 2, device=weight.device)


def other_dtype(weight: Tensor) -> None:
    """Doubles instead of floats."""
    weight.data = weight.data.double()


def freed(weight: Tensor) -> None:
    """No memory."""
    weight.untyped_storage().resize_(0)


declare(
    "table-changed",
    "A table whose numbers are changed, or freed, after the lookup gets its gradient all the same: none are kept.",
    Row("in place", table_changed(lambda w: w.mul_(2))),
    Row("in place, sparse", table_changed(lambda w: w.mul_(2), sparse=True)),
    Row("by .data", table_changed(lambda w: w.data.mul_(2))),
    Row("memory freed", table_changed(freed)),
    Row("memory freed, sparse", table_changed(freed, sparse=True)),
    Row("frozen", table_changed(lambda w: w.requires_grad_(False))),
)
declare(
    "table-resized",
    "A table that has another shape or dtype by the time of the backward gets the gradient of the one looked up, "
    "unless torch cannot store it.",
    Row("other rows", table_changed(other_rows)),
    Row("other rows, scale_grad_by_freq", table_changed(other_rows, scale_grad_by_freq=True)),
    Row("other rows, sparse", table_changed(other_rows, sparse=True)),
    Row("other rows, bfloat16", table_changed(other_rows, dtype="bfloat16")),
    Row("other columns", table_changed(other_columns), RuntimeError, "The size of tensor a (2) must match the size of"),
    Row("other columns, sparse", table_changed(other_columns, sparse=True)),
    Row("other dtype", table_changed(other_dtype)),
)


def indices_changed(change: Callable[[Tensor], object], **options: Any) -> Callable[[Scene], Act]:
    """A backward after the indices were changed."""

    def prepare(s: Scene) -> Act:
        input = s.indices()
        out = s.output(input, s.table(grad=True), **options)
        change(input)
        return out.sum().backward

    return prepare


MODIFIED = "one of the variables needed for gradient computation has been modified by an inplace operation"
declare(
    "indices-changed",
    "Indices that are changed in place after the lookup are a RuntimeError in the backward.",
    *(
        Row(", ".join(("in place", *options)), indices_changed(lambda i: i.add_(1), **options), RuntimeError, MODIFIED)
        for options in ({}, {"padding_idx": 2}, {"scale_grad_by_freq": True}, {"sparse": True}, {"max_norm": 1.0})
    ),
    Row("zeroed", indices_changed(lambda i: i.zero_()), RuntimeError, MODIFIED),
    Row("a part", indices_changed(lambda i: i[1:].zero_()), RuntimeError, MODIFIED),
    Row("resized", indices_changed(lambda i: i.resize_(2)), RuntimeError, MODIFIED),
)
declare(
    "indices-changed-unseen",
    "Indices that are changed by .data, which torch does not see, are what the backward finds.",
    Row("dense", indices_changed(lambda i: i.data.add_(1))),
    Row("sparse", indices_changed(lambda i: i.data.add_(1), sparse=True)),
)

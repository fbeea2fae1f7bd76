"""errors: indices of a wrong dtype."""

from typing import Any

import torch

from ..bad_inputs import declare
from ..cases import dtype_of
from ..rows import Row
from ..scene import Act, Scene

FLOATS = ("float16", "bfloat16", "float32", "float64", "complex64")
INTEGERS = ("bool", "int8", "int16", "uint8", "uint16", "uint32", "uint64")


def typed(dtype: str, *values: int, **options: Any) -> Any:
    """A lookup of indices of this dtype, or of none."""
    return lambda s: s.call(
        s.keep(torch.tensor(values, device=s.device).to(dtype_of(dtype)), "input"), s.table(), **options
    )


INDICES = "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int"
RENORM_INDICES = INDICES.replace("#1", "#2")
declare(
    "index-dtype",
    "Indices of any dtype but int32 and int64 are a RuntimeError which gives it, even if there are none.",
    *(Row(dtype, typed(dtype, 1, 2, 1), RuntimeError, INDICES) for dtype in (*FLOATS, *INTEGERS)),
    *(Row(f"{dtype}, empty", typed(dtype), RuntimeError, INDICES) for dtype in ("float32", "uint8")),
    Row("mask of rows", lambda s: s.call(s.indices(0, 1, 1, 0, dtype="bool"), s.table()), RuntimeError, INDICES),
    Row("one-hot", lambda s: s.call(torch.eye(4, device=s.device), s.table()), RuntimeError, INDICES),
    Row(
        "float with gradient",
        lambda s: s.call(s.indices(dtype="float32").requires_grad_(), s.table()),
        RuntimeError,
        INDICES,
    ),
    Row(
        "float, trained table", lambda s: s.call(s.indices(dtype="float32"), s.table(grad=True)), RuntimeError, INDICES
    ),
)
declare(
    "index-dtype-max_norm",
    "With max_norm too, indices of any dtype but int32 and int64 are a RuntimeError, and the table stays as it is.",
    *(
        Row(dtype, typed(dtype, 1, 2, 1, max_norm=1.0), RuntimeError, RENORM_INDICES)
        for dtype in ("float32", "complex64", "bool", "uint8", "int16")
    ),
    Row("float32, empty", typed("float32", max_norm=1.0), RuntimeError, RENORM_INDICES),
    needs="cpu",
)
declare(
    "index-gradient",
    "Indices cannot require a gradient.",
    Row(
        "requires_grad_()",
        lambda s: s.indices().requires_grad_,
        RuntimeError,
        "only Tensors of floating point dtype can require gradients",
    ),
    Row(
        "requires_grad = True",
        lambda s: (lambda i: lambda: setattr(i, "requires_grad", True))(s.indices()),
        RuntimeError,
        "only Tensors of floating point and complex dtype can require gradients",
    ),
    Row(
        "of a gradient asked for",
        lambda s: asked(s),
        RuntimeError,
        "One of the differentiated Tensors does not require grad",
    ),
)


def asked(s: Scene) -> Act:
    """The gradient of the indices."""
    input = s.indices()
    out = s.output(input, s.table(grad=True))
    return lambda: torch.autograd.grad(out.sum(), input)

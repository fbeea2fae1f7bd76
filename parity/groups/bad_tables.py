"""errors: tables of a wrong rank, dtype or layout."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..bad_inputs import declare
from ..cases import dtype_of
from ..rows import Row
from ..scene import Act, Scene


def rank(shape: tuple[int, ...], **options: Any) -> Any:
    """A lookup in a table of this shape."""
    return lambda s: s.call(s.indices(), s.keep(torch.full(shape, 9.0, device=s.device), "weight"), **options)


TWO = "'weight' must be 2-D"
declare(
    "table-rank",
    "A table that is not 2-dimensional is a RuntimeError which gives its shape.",
    Row("0-D", rank(()), RuntimeError, TWO, ", got shape []", bare=True),
    Row("1-D", rank((4,)), RuntimeError, TWO, ", got shape [4]", bare=True),
    Row("3-D", rank((4, 3, 2)), RuntimeError, TWO, ", got shape [4, 3, 2]", bare=True),
    Row("3-D, no rows", rank((0, 3, 2)), RuntimeError, TWO, ", got shape [0, 3, 2]", bare=True),
    Row("3-D, padding_idx", rank((4, 3, 2), padding_idx=1), RuntimeError, TWO, ", got shape [4, 3, 2]", bare=True),
    Row(
        "0-D, padding_idx", rank((), padding_idx=1), IndexError, "Dimension specified as 0 but tensor has no dimensions"
    ),
    Row("3-D, sparse", rank((4, 3, 2), sparse=True), RuntimeError, TWO, ", got shape [4, 3, 2]"),
)


RANK = "Expected 2-dimensional tensor, but got {}-dimensional tensor for argument #1 'self'"
declare(
    "table-rank-max_norm",
    "With max_norm a table that is not 2-dimensional is a RuntimeError which gives its rank.",
    *(
        Row(f"{len(shape)}-D", rank(shape, max_norm=1.0), RuntimeError, RANK.format(len(shape)))
        for shape in ((), (4,), (4, 3, 2))
    ),
)


def of(make: Callable[[Tensor], Tensor], *indices: int, under: Any = None, **options: Any) -> Any:
    """A lookup in what `make` makes of a table."""

    def prepare(s: Scene) -> Act:
        input = s.indices(*indices) if indices else s.indices()
        return s.call(
            input,
            s.keep(make(torch.arange(1.0, 13, device=s.device).reshape(4, 3)), "weight"),
            **({"under": under} if under else {}),
            **options,
        )

    return prepare


declare(
    "complex-gradient",
    "A complex table that requires a gradient is a RuntimeError at the lookup which gives its dtype.",
    Row(
        "complex64",
        of(lambda w: w.to(torch.complex64).requires_grad_()),
        RuntimeError,
        "embedding does not support automatic differentiation for outputs with complex dtype.",
        " weight is torch.complex64 and requires grad",
    ),
    Row(
        "complex128",
        of(lambda w: w.to(torch.complex128).requires_grad_()),
        RuntimeError,
        "embedding does not support automatic differentiation for outputs with complex dtype.",
        " weight is torch.complex128 and requires grad",
    ),
    Row(
        "complex64, sparse",
        of(lambda w: w.to(torch.complex64).requires_grad_(), sparse=True),
        RuntimeError,
        "embedding does not support automatic differentiation for outputs with complex dtype.",
        " weight is torch.complex64 and requires grad",
    ),
    Row(
        "complex parameter of a module",
        lambda s: (lambda m, i: lambda: m(i))(s.module(dtype=torch.complex64), s.indices()),
        RuntimeError,
        "embedding does not support automatic differentiation for outputs with complex dtype.",
        " weight is torch.complex64 and requires grad",
    ),
)
declare(
    "complex-no-gradient",
    "Where no gradients are recorded such a table can be looked up.",
    Row("no_grad", of(lambda w: w.to(torch.complex64).requires_grad_(), under=torch.no_grad)),
    Row("inference_mode", of(lambda w: w.to(torch.complex64).requires_grad_(), under=torch.inference_mode)),
)


NO_NORM = "norm(): input dtype should be either floating point or complex. Got "
declare(
    "integer-max_norm",
    "With max_norm a table of integers, booleans or 8-bit floats is an error, as it has no norm.",
    *(
        Row(dtype, of(partial(Tensor.to, dtype=dtype_of(dtype)), max_norm=1.0), RuntimeError, NO_NORM + called)
        for dtype, called in {
            "int64": "Long",
            "int8": "Char",
            "uint8": "Byte",
            "uint16": "UInt16",
            "bool": "Bool",
        }.items()
    ),
    Row(
        "float8_e4m3fn",
        of(lambda w: w.to(torch.float8_e4m3fn), max_norm=1.0),
        NotImplementedError,
        "not implemented for 'Float8_e4m3fn'",
    ),
    Row("int64, nothing looked up", lambda s: s.call(s.indices()[:0], s.table(dtype="int64"), max_norm=1.0)),
    needs="cpu",
)
declare(
    "table-gradient",
    "A table of integers cannot require a gradient, in a parameter or not.",
    Row(
        "requires_grad_()",
        lambda s: s.table(dtype="int64").requires_grad_,
        RuntimeError,
        "only Tensors of floating point dtype can require gradients",
    ),
    Row(
        "Parameter",
        lambda s: (lambda w: lambda: torch.nn.Parameter(w))(s.table(dtype="int64")),
        RuntimeError,
        "Only Tensors of floating point and complex dtype can require gradients",
    ),
    Row(
        "backward",
        lambda s: (lambda out: out.sum().backward)(s.output(s.indices(), s.table(dtype="int64"))),
        RuntimeError,
        "element 0 of tensors does not require grad and does not have a grad_fn",
    ),
)
declare(
    "table-layout",
    "A table that is not strided is what it is to torch.",
    Row("COO", of(lambda w: w.to_sparse_coo())),
    Row(
        "COO, max_norm",
        of(lambda w: w.to_sparse_coo(), max_norm=1.0),
        NotImplementedError,
        "Could not run 'aten::embedding_renorm_' with arguments from the 'SparseCPU' backend",
    ),
    Row("COO, trained", of(lambda w: w.to_sparse_coo().requires_grad_())),
    Row(
        "CSR",
        of(lambda w: w.to_sparse_csr()),
        NotImplementedError,
        "Could not run 'aten::index_select' with arguments from the 'SparseCsrCPU' backend",
    ),
    Row(
        "sparse indices",
        lambda s: s.call(s.keep(s.indices().to_sparse(), "indices"), s.table()),
        IndexError,
        "index_select() argument index must be 1-D strided (non-sparse) long-tensor.",
    ),
    Row(
        "quantized indices",
        lambda s: s.call(s.keep(torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8), "indices"), s.table()),
        RuntimeError,
        "Expected tensor for argument #1 'indices' to have one of the following scalar types:",
    ),
    cpu_only=True,
)
declare(
    "table-float8",
    "A table of 8-bit floats can be looked up, and has no dense gradient.",
    Row("lookup", of(lambda w: w.to(torch.float8_e4m3fn))),
    Row("backward", lambda s: float8(s), NotImplementedError, "\"add_stub\" not implemented for 'Float8_e4m3fn'"),
    cpu_only=True,
)


def float8(s: Scene) -> Act:
    """The backward of a lookup in such a table."""
    out = s.output(s.indices(), s.table(dtype="float8_e4m3fn", grad=True))
    grad_output = s.keep(torch.ones(3, 3).to(out), "grad_output")
    return lambda: out.backward(grad_output)

"""What a lookup returns."""

from typing import Any

import torch

from ..cases import dtype_of, feature, product
from ..compare import bits_of, require, same, same_bits
from ..inputs import DISTRIBUTIONS, LAYOUTS, SHAPES
from ..lookups import lookup
from ..subject import Implementation

FLOATS = ("float16", "bfloat16", "float32", "float64")
OTHERS = (
    "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
    "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
    "float4_e2m1fn_x2",
    "complex32", "complex64", "complex128",
)  # fmt: skip
LENGTHS = (1, 2, 3, 8, 33, 64, 100, 129, 768, 1100, 4100)


@feature("forward", "values", cases=product(dtype=FLOATS, distribution=DISTRIBUTIONS))
def values(subject: Implementation, **c: str) -> str | None:
    """The output is input.shape + (D,), contiguous, fresh, and holds rows of the table bit for bit."""
    return lookup(subject, what="output", **c)


@feature("forward", "other-dtypes", cases=product(dtype=OTHERS))
def other_dtypes(subject: Implementation, dtype: str) -> str | None:
    """Integer, boolean, 8-bit float and complex tables can be looked up too."""
    switch: Any = torch.utils.deterministic
    fill, switch.fill_uninitialized_memory = switch.fill_uninitialized_memory, False
    try:  # torch cannot fill a fresh float4 tensor
        return lookup(subject, what="output", dtype=dtype)
    finally:
        switch.fill_uninitialized_memory = fill


@feature("forward", "shapes", cases=product(shape=SHAPES, index_dtype=("int32", "int64")))
def shapes(subject: Implementation, **c: object) -> str | None:
    """Indices are int32 or int64 of any shape, 0-d and empty ones included."""
    return lookup(subject, what="output", **c)


@feature("forward", "row-lengths", cases=product(D=LENGTHS, dtype=("bfloat16", "float32")))
def row_lengths(subject: Implementation, **c: object) -> str | None:
    """Rows have any length, whatever a kernel's tile."""
    return lookup(subject, what="output", shape=(9,), **c)


@feature("forward", "sizes", cases=[{"V": v, "N": n} for v in (1, 2, 1000, 70_000) for n in (1, 31, 257)])
def sizes(subject: Implementation, V: int, N: int) -> str | None:
    """Tables have any number of rows, looked up any number of times."""
    return lookup(subject, what="output", V=V, D=3, shape=(N,), distribution="uniform")


@feature("forward", "no-columns", cases=product(shape=SHAPES[:2] + SHAPES[-1:]))
def no_columns(subject: Implementation, shape: tuple[int, ...]) -> str | None:
    """A table without columns gives an output without columns."""
    return lookup(subject, what="output", D=0, shape=shape)


@feature("forward", "no-rows")
def no_rows(subject: Implementation) -> None:
    """A table without rows takes an empty input."""
    weight = torch.empty(0, 3, device=subject.device)
    out = subject.call(torch.empty(2, 0, dtype=torch.int64, device=subject.device), weight)
    same(tuple(out.shape), (2, 0, 3), "shape")


@feature("forward", "table-strides", cases=product(weight_strides=tuple(LAYOUTS)[1:], dtype=("float16", "float64")))
def table_strides(subject: Implementation, **c: str) -> str | None:
    """A table by any strides is read as it lies."""
    return lookup(subject, what="output", **c)


@feature("forward", "index-strides", cases=product(index_strides=(*tuple(LAYOUTS)[1:], "one number expanded")))
def index_strides(subject: Implementation, index_strides: str) -> str | None:
    """Indices by any strides are read as they lie."""
    return lookup(subject, what="output", shape=(3, 4, 5), index_strides=index_strides)


@feature("forward", "expanded-table", cases=product(dim=(0, 1)))
def expanded_table(subject: Implementation, dim: int) -> None:
    """A table expanded along a dimension, whose stride is 0 there, can be looked up."""
    weight = torch.randn((1, 5) if dim == 0 else (6, 1), device=subject.device).expand(6, 5)
    indices = torch.tensor([[5, 0, 3]], device=subject.device)
    same_bits(subject.call(indices, weight), weight.contiguous()[indices], "output")


@feature("forward", "special-values", cases=product(dtype=FLOATS))
def special_values(subject: Implementation, dtype: str) -> None:
    """NaN keeps its payload, -0 its sign, and denormal numbers are not flushed."""
    table = torch.tensor([[float("nan"), -0.0], [torch.finfo(dtype_of(dtype)).tiny / 4, -float("inf")]])
    weight = table.double().to(dtype_of(dtype)).to(subject.device)
    integers = weight.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[weight.element_size()])
    integers[0, 0] += 5  # a payload
    out = subject.call(torch.tensor([1, 0, 1], device=subject.device), weight)
    require(torch.equal(bits_of(out), bits_of(weight)[[1, 0, 1]]), f"bits changed: {out.tolist()}")


@feature("forward", "padding-row", cases=product(padding_idx=(0, 2, -1)))
def padding_row(subject: Implementation, padding_idx: int) -> None:
    """The padding row is looked up like any other, whatever it holds."""
    weight = torch.randn(4, 3, device=subject.device)
    indices = torch.tensor([[0, 2], [3, padding_idx % 4]], device=subject.device)
    same_bits(subject.call(indices, weight, padding_idx=padding_idx), weight[indices], "output")


@feature("forward", "lazy-views", cases=product(view=("neg", "conj")))
def lazy_views(subject: Implementation, view: str) -> None:
    """Tables that are lazily negated or conjugated are looked up with their true values."""
    weight = torch.randn(4, 3, dtype=torch.complex64, device=subject.device)
    lazy = weight.conj() if view == "conj" else weight.conj().imag
    indices = torch.tensor([3, 1, 1], device=subject.device)
    out = subject.call(indices, lazy)
    require(torch.equal(out, (lazy + 0)[indices]), "values of the underlying memory, not of the view")


@feature("forward", "requires-grad", cases=product(how=("plain", "frozen", "no_grad", "integer")))
def requires_grad(subject: Implementation, how: str) -> None:
    """The output requires a gradient if the table does and gradients are on."""
    weight = torch.ones(4, 3, device=subject.device, dtype=torch.int64 if how == "integer" else torch.float32)
    weight.requires_grad_(how in ("plain", "no_grad"))
    with torch.set_grad_enabled(how != "no_grad"):
        out = subject.call(torch.tensor([1], device=subject.device), weight)
    same((out.requires_grad, out.is_leaf), (how == "plain", how != "plain"), "requires_grad, is_leaf")


@feature("forward", "options-change-nothing", cases=[{"option": o} for o in ("scale_grad_by_freq", "sparse")])
def options_change_nothing(subject: Implementation, option: str) -> str | None:
    """scale_grad_by_freq and sparse leave the lookup itself alone, without a gradient too."""
    weight = torch.randn(5, 3, device=subject.device)
    indices = torch.tensor([[4, 4, 0]], device=subject.device)
    same_bits(subject.call(indices, weight, **{option: True}), weight[indices], "output")
    return lookup(subject, what="output", dtype="int32")

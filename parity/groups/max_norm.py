"""max_norm: what it does to the table and to the output."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from .. import oracle
from ..cases import dtype_of, feature, product
from ..compare import numpy_of, require, same, same_bits, same_error, within
from ..configuration import Configuration, make_inputs
from ..inputs import DISTRIBUTIONS, LAYOUTS
from ..lookups import check, lookup
from ..subject import Implementation, Missing

FLOATS = ("float16", "bfloat16", "float32", "float64")
NORMS = (2.0, 1.0, 3.0, 0.5, 2.5, -1.0, 0.0, math.inf, -math.inf)
OTHER_NORMS = (0.25, 1.5, 7.0, -0.5, -2.0)


def middle(c: Configuration) -> float:
    """A max_norm that about half of the rows of a configuration's table are over."""
    norms = oracle.norms(numpy_of(make_inputs(c, "cpu").weight), c.norm_type)
    return float(np.sort(norms)[c.V // 2 - 1 : c.V // 2 + 1].mean()) if c.norm_type else c.D - 0.5


@feature(
    "max_norm",
    "values",
    "bound",
    deviation=7,
    cases=(*product(norm_type=NORMS, dtype=FLOATS), *product(norm_type=OTHER_NORMS, dtype=FLOATS[2:])),
)
def values(subject: Implementation, norm_type: float, dtype: str) -> str | None:
    """Rows looked up whose p-norm is over max_norm become row * max_norm / (norm + 1e-7), for every p; others stay."""
    c = Configuration(norm_type=norm_type, dtype=dtype, padding_idx=2, distribution="uniform")
    return check(subject, replace(c, max_norm=middle(c)), "output")


@feature("max_norm", "distributions", "bound", cases=product(distribution=DISTRIBUTIONS))
def distributions(subject: Implementation, **c: Any) -> str | None:
    """A row is scaled once, however often it is looked up; rows not looked up are left alone."""
    return lookup(subject, what="output", V=30, shape=(50,), max_norm=2.5, **c)


@feature(
    "max_norm", "row-lengths", "bound", cases=product(D=(1, 2, 33, 300, 1100), norm_type=(2.0, math.inf, -math.inf))
)
def row_lengths(subject: Implementation, D: int, norm_type: float) -> str | None:
    """Rows have any length, whatever a kernel's tile."""
    norm = {2.0: 1.2 * D**0.5, math.inf: 2.0, -math.inf: 0.5 / D}[norm_type]
    return lookup(subject, what="output", D=D, shape=(7,), max_norm=norm, norm_type=norm_type, dtype="float64")


@feature(
    "max_norm",
    "together",
    "bound",
    cases=product(dtype=FLOATS, norm_type=(2.0, 1.0), index_dtype=("int32", "int64")),
)
def together(subject: Implementation, **c: Any) -> str | None:
    """A strided table of many rows, 3-D strided indices, row lengths and types, all at once."""
    strides = {"index_strides": "every second column", "weight_strides": "padded rows"}
    c["max_norm"] = {2.0: 5.0, 1.0: 16.0}[c["norm_type"]]
    return lookup(subject, what="output", V=250, D=16, shape=(4, 5, 12), **strides, **c)


@feature("max_norm", "epsilon", "bound", cases=product(dtype=FLOATS[2:]))
def epsilon(subject: Implementation, dtype: str) -> None:
    """The divisor is the norm and 1e-7, which shows where norms are small."""
    weight = torch.tensor([[3e-6, 4e-6]], dtype=dtype_of(dtype), device=subject.device)
    subject.call(torch.tensor([0], device=subject.device), weight, max_norm=2.5e-6)
    wanted = torch.tensor([[3e-6, 4e-6]], dtype=torch.float64) * (2.5e-6 / (5e-6 + 1e-7))
    within(numpy_of(weight), numpy_of(wanted), 1e-6 * numpy_of(wanted), "row")


@feature(
    "max_norm", "special-rows-other-norms", cases=product(norm_type=(0.0, 0.5, 2.5, -1.0, -math.inf), dtype=FLOATS[2:])
)
def special_rows_other_norms(subject: Implementation, norm_type: float, dtype: str) -> None:
    """Rows with NaN, zeros and infinities have the norm that arithmetic gives them, for other norms too."""
    nan, inf = math.nan, math.inf
    rows = [[nan, 9.0, 1.0], [0.0, -0.0, 0.0], [inf, 2.0, -3.0], [2.0, -inf, inf], [0.0, 5.0, 7.0]]
    weight = torch.tensor(rows, dtype=dtype_of(dtype), device=subject.device)
    expected = oracle.renorm(numpy_of(weight), np.arange(5), 1.5, norm_type, dtype)
    subject.call(torch.arange(5, device=subject.device), weight, max_norm=1.5, norm_type=norm_type)
    within(numpy_of(weight), expected.value, expected.bound, "table")


@feature("max_norm", "strided-table", "bound", cases=product(weight_strides=tuple(LAYOUTS)[1:]), deviation=7)
def strided_table(subject: Implementation, weight_strides: str) -> str | None:
    """A strided table is changed where it lies."""
    return lookup(subject, what="output", weight_strides=weight_strides, max_norm=1.5)


@feature("max_norm", "every-number", cases=product(max_norm=(0, False, -1.0, True, math.inf, math.nan, 1e30, 2)))
def every_number(subject: Implementation, max_norm: float) -> None:
    """max_norm 0 clears rows, a negative one flips signs, True is 1; inf and NaN do nothing."""
    table = torch.tensor([[3.0, 4.0], [6.0, 8.0]], device=subject.device)
    weight = table.clone()
    subject.call(torch.tensor([0], device=subject.device), weight, max_norm=max_norm)
    wanted = table[0] if math.isnan(max_norm) or max_norm >= 5 else table[0] / 5 * float(max_norm)
    torch.testing.assert_close(weight[0], wanted, rtol=1e-6, atol=0)
    same_bits(weight[1], table[1], "the row not looked up")


@feature("max_norm", "norm-nan")
def norm_nan(subject: Implementation) -> None:
    """norm_type NaN never scales."""
    weight = torch.randn(3, 4, device=subject.device)
    before = weight.clone()
    subject.call(torch.tensor([0, 1], device=subject.device), weight, max_norm=0.1, norm_type=math.nan)
    same_bits(weight, before, "table")


@feature("max_norm", "special-rows", cases=product(norm_type=(1.0, 2.0, 3.0, math.inf), dtype=FLOATS), deviation=7)
def special_rows(subject: Implementation, norm_type: float, dtype: str) -> None:
    """Rows with NaN and rows of zeros stay; in a row with infinities these become NaN and the rest 0."""
    nan, inf = math.nan, math.inf
    rows = [[nan, 9.0, 1.0], [0.0, -0.0, 0.0], [inf, 2.0, -3.0], [2.0, -inf, inf]]
    weight = torch.tensor(rows, dtype=dtype_of(dtype), device=subject.device)
    before = weight.clone()
    out = subject.call(torch.arange(4, device=subject.device), weight, max_norm=1.0, norm_type=norm_type)
    same_bits(weight[:2], before[:2], "NaN and zero rows")
    wanted = torch.tensor([[nan, 0.0, 0.0], [0.0, nan, nan]], dtype=dtype_of(dtype), device=subject.device)
    torch.testing.assert_close(weight[2:].abs(), wanted, equal_nan=True, rtol=0, atol=0)
    torch.testing.assert_close(out, weight, equal_nan=True, rtol=0, atol=0)


@feature("max_norm", "no-columns", cases=product(norm_type=(2.0, 0.5, 0.0)))
def no_columns(subject: Implementation, norm_type: float) -> None:
    """A table without columns has nothing to scale, and counts as changed."""
    weight = torch.empty(4, 0, device=subject.device)
    before = weight._version
    out = subject.call(torch.tensor([3, 3], device=subject.device), weight, max_norm=1.0, norm_type=norm_type)
    same((tuple(out.shape), weight._version - before), ((2, 0), 1), "shape, changes counted")


@feature("max_norm", "no-columns-no-norm", "same error", cases=product(norm_type=(math.inf, -math.inf, -1.0)))
def no_columns_no_norm(subject: Implementation, norm_type: float) -> None:
    """Its rows have no norm for p negative or infinite, which is an error."""
    indices, weight = torch.tensor([3], device=subject.device), torch.empty(4, 0, device=subject.device)
    same_error(
        lambda: subject.call(indices, weight, max_norm=1.0, norm_type=norm_type),
        RuntimeError,
        "norm on an empty tensor",
    )


@feature("max_norm", "overflow")
def overflow(subject: Implementation) -> None:
    """A float16 row whose norm overflows is cleared."""
    weight = torch.full((2, 4), 6e4, dtype=torch.float16, device=subject.device)
    out = subject.call(torch.tensor([1], device=subject.device), weight, max_norm=1.0)
    require(not out.any() and not weight[1].any(), "the row is not zeros")
    require(weight[0].all(), "the row not looked up changed")


@feature("max_norm", "16-bit-rounding", cases=product(norm_type=(1.0, 2.0, math.inf), dtype=FLOATS[:2]), deviation=7)
def sixteen_bit_rounding(subject: Implementation, norm_type: float, dtype: str) -> None:
    """Norm and factor are rounded to the table's type, the quotient between them is not: the CPU's bits."""
    weight = torch.randint(-9, 10, (200, 12)).to(dtype_of(dtype))
    indices = torch.arange(200)
    found = weight.to(subject.device)
    subject.call(indices.to(subject.device), found, max_norm=3.3, norm_type=norm_type)
    torch.embedding_renorm_(weight, indices, 3.3, norm_type)
    same_bits(found, weight, "table")


@feature("max_norm", "version", cases=product(N=(0, 1, 6), max_norm=(1e9, 0.01), grad=(False, True)))
def version(subject: Implementation, N: int, max_norm: float, grad: bool) -> None:
    """A call counts as one change in place, whether rows were over, none was, or the input is empty."""
    weight = torch.randn(5, 4, device=subject.device, requires_grad=grad)
    before = weight._version
    subject.call(torch.zeros(N, dtype=torch.int64, device=subject.device), weight, max_norm=max_norm)
    same(weight._version - before, 1, "changes counted")


@feature("max_norm", "saved-before", "same error")
def saved_before(subject: Implementation) -> None:
    """A graph that saved the table before cannot run backward any more, even if no row was over."""
    weight = torch.randn(5, 4, device=subject.device, requires_grad=True)
    square = weight**2
    subject.call(torch.tensor([0], device=subject.device), weight, max_norm=1e9)
    try:
        square.sum().backward()
    except RuntimeError as error:
        require("modified by an inplace operation" in str(error), f"another error: {error}")
    else:
        require(False, "backward ran")


@feature("max_norm", "straight-through", cases=product(option=(None, "sparse", "scale_grad_by_freq")))
def straight_through(subject: Implementation, option: str | None) -> None:
    """The gradient does not see the scaling."""
    table = torch.randn(5, 4, device=subject.device) * 9
    indices = torch.tensor([[0, 3, 3], [2, 2, 2]], device=subject.device)
    grad_output = torch.randn(2, 3, 4, device=subject.device)
    grads = []
    options = {option: True} if option else {}
    for max_norm in (None, 0.5):
        weight = table.clone().requires_grad_()
        out = subject.call(indices, weight, padding_idx=2, max_norm=max_norm, **options)
        grads.append(torch.autograd.grad(out, weight, grad_output)[0].to_dense())
    same_bits(grads[1], grads[0], "gradient")


@feature("max_norm", "modes", cases=product(how=("no_grad", "inference_mode", "eval", "frozen")))
def modes(subject: Implementation, how: str) -> None:
    """The table changes without gradients, in inference mode, in eval and frozen; padding rows and the source too."""
    if not hasattr(subject.cls, "from_pretrained"):
        raise Missing("from_pretrained")
    source = torch.full((3, 4), 2.0, device=subject.device)
    module = subject.cls.from_pretrained(source, freeze=how == "frozen", max_norm=1.0, padding_idx=1)
    indices = torch.tensor([1], device=subject.device)
    with torch.inference_mode(how == "inference_mode"), torch.set_grad_enabled(how != "no_grad"):
        module.train(how != "eval")(indices)
    torch.testing.assert_close(source[1], torch.full((4,), 0.5, device=subject.device))
    require((source[[0, 2]] == 2).all(), "other rows changed")


@feature("max_norm", "expanded-rows", cases=product(over=(False, True)))
def expanded_rows(subject: Implementation, over: bool) -> None:
    """A table all of whose rows lie in one place is scaled once."""
    weight = torch.full((1, 4), 2.0, device=subject.device)
    subject.call(torch.tensor([0], device=subject.device), weight.expand(3, 4), max_norm=1.0 if over else 10.0)
    torch.testing.assert_close(weight, torch.full((1, 4), 0.5 if over else 2.0, device=subject.device))


@feature("max_norm", "complex", "bound")
def complex_rows(subject: Implementation) -> None:
    """Complex rows are scaled by the norm of their absolute values."""
    weight = torch.tensor([[3 + 4j, 0], [0.1j, 0]], dtype=torch.complex64, device=subject.device)
    subject.call(torch.tensor([0, 1], device=subject.device), weight, max_norm=1.0)
    wanted = torch.tensor([[0.6 + 0.8j, 0], [0.1j, 0]], dtype=torch.complex64, device=subject.device)
    torch.testing.assert_close(weight, wanted)


@feature("max_norm", "output", cases=product(dtype=FLOATS, N=(1, 60)))
def output(subject: Implementation, dtype: str, N: int) -> None:
    """The output holds the scaled rows, bit for bit those of the table, duplicates alike."""
    weight = (torch.randn(6, 12) * 3).to(subject.device, dtype_of(dtype))
    indices = (torch.arange(N, device=subject.device) * 5) % 6
    out = subject.call(indices, weight, max_norm=1.0)
    same_bits(out, weight[indices], "output")

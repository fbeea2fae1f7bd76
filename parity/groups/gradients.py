"""The numbers of dense and sparse gradients, against float64."""

from collections.abc import Callable, Iterable
from functools import partial, update_wrapper
from typing import Any

import torch
from torch.nn import functional as F

from ..cases import Parameters, dtype_of, feature, product
from ..compare import as_stock, numpy_of, require, within
from ..inputs import DISTRIBUTIONS, EXPANDED, LAYOUTS, SHAPES
from ..lookups import lookup
from ..subject import Implementation

WIDE, NARROW = ("float32", "float64"), ("float16", "bfloat16")
# Numbers of lookups at, and on both sides of, the sizes that kernels cut them into.
NUMBERS = (1, 2, *sorted(16 * 2**k + step for k in range(7) for step in (-1, 0, 1)))
# Row lengths that tiles and vector accesses divide, and others.
LENGTHS = (1, 2, 7, 8, 16, 24, 32, 33, 64, 100, 128, 256, 768)
SIZES = ((1, 1, 40), (2, 5, 70), (5, 0, 6), (130, 1, 20), (3, 140, 33), (127, 2, 30), (40_000, 2, 30), (5, 1100, 9))
STRIDES = (*tuple(LAYOUTS)[1:], *EXPANDED)
PADDINGS = (None, 3, -1)
Check = Callable[..., str | None]


def gradient_feature(name: str, cases: Iterable[Parameters] = ({},), **claims: Any) -> Callable[[Check], Check]:
    """Declares a feature that dense and sparse gradients share; the check takes `sparse`."""

    def declare(check: Check) -> Check:
        for group, sparse in (("dense-gradient", False), ("sparse-gradient", True)):
            feature(group, name, cases=cases, **claims)(update_wrapper(partial(check, sparse=sparse), check))
        return check

    return declare


@gradient_feature("values", claim="bound", cases=product(dtype=WIDE, distribution=DISTRIBUTIONS, padding_idx=PADDINGS))
def values(subject: Implementation, **c: Any) -> str | None:
    """A row's gradient is the sum over its lookups, nothing for padding, zero for rows not looked up."""
    return lookup(subject, **c)


@gradient_feature(
    "16-bit",
    claim="bound",
    deviation=6,
    cases=product(dtype=NARROW, distribution=DISTRIBUTIONS, scale_grad_by_freq=(False, True)),
)
def narrow(subject: Implementation, **c: Any) -> str | None:
    """16-bit gradients are summed in float32 and rounded once."""
    return lookup(subject, padding_idx=1, **c)


@gradient_feature("integers", claim="exact", cases=product(dtype=(*WIDE, *NARROW), distribution=("zipf", "hot")))
def integers(subject: Implementation, **c: Any) -> str | None:
    """Sums of small integers are exact, bit for bit."""
    return lookup(subject, integers=True, padding_idx=0, **c)


@feature("dense-gradient", "scaled", claim="bound", cases=product(dtype=WIDE, distribution=DISTRIBUTIONS))
def scaled(subject: Implementation, **c: Any) -> str | None:
    """scale_grad_by_freq divides a row's gradient by how often the input has it; padding counts for no other row."""
    return lookup(subject, scale_grad_by_freq=True, padding_idx=2, **c)


@feature("sparse-gradient", "scaled", claim="bound", deviation=2, cases=product(dtype=WIDE, distribution=DISTRIBUTIONS))
def scaled_sparse(subject: Implementation, **c: Any) -> str | None:
    """scale_grad_by_freq works for sparse gradients too."""
    return lookup(subject, scale_grad_by_freq=True, sparse=True, padding_idx=2, **c)


@gradient_feature("shapes", claim="bound", cases=product(shape=SHAPES, index_dtype=("int32", "int64")))
def shapes(subject: Implementation, **c: Any) -> str | None:
    """Inputs of every shape have a gradient: 0-d, empty, int32 and int64."""
    return lookup(subject, **c)


@gradient_feature("sizes", claim="bound", cases=[{"V": v, "D": d, "N": n} for v, d, n in SIZES])
def sizes(subject: Implementation, V: int, D: int, N: int, sparse: bool) -> str | None:
    """Tables and rows have any size, one row and no columns included."""
    return lookup(subject, V=V, D=D, shape=(N,), distribution="uniform", sparse=sparse)


@gradient_feature("numbers", cases=product(N=NUMBERS, distribution=("zipf", "hot")))
def numbers(subject: Implementation, N: int, **c: Any) -> str | None:
    """Any number of lookups is summed whole, at the borders of chunks and tiles too."""
    return lookup(subject, V=40, D=3, shape=(N,), integers=True, **c)


# Lookups, rows and columns at, and beside, sizes at which kernels go another way: lookups sorted by comparing or
# by a sort, chunks one or several, short or long, zeros in untouched rows or all over, one tile of columns or several.
THRESHOLDS = (
    *((N, V, 2) for N in (4095, 4096, 4097) for V in (2, 40_000)),
    *((N, 2, 1) for N in (262_143, 262_144, 262_145)),
    *((N, 3, 3) for N in (31, 32, 33)),
    *((N, 9 * N + step, 3) for N in (32, 33, 40) for step in (-1, 0, 1)),
    *((40, 9, D) for D in (511, 512, 513, 1024, 1025, 4100)),
)


@gradient_feature("thresholds", claim="exact", cases=[{"N": N, "V": V, "D": D} for N, V, D in THRESHOLDS])
def thresholds(subject: Implementation, N: int, V: int, **c: Any) -> str | None:
    """Sums are whole and untouched rows zero whichever way a size has an implementation go."""
    return lookup(subject, V=V, shape=(N,), integers=True, distribution="zipf", padding_idx=V // 2, **c)


@gradient_feature("row-lengths", cases=product(D=LENGTHS, dtype=("bfloat16", "float32")))
def row_lengths(subject: Implementation, **c: Any) -> str | None:
    """Rows have any length, whatever a kernel's tile and the width of its accesses."""
    return lookup(subject, shape=(20,), integers=True, gradient_strides="padded rows", **c)


TOGETHER: tuple[Parameters, ...] = (
    {"padding_idx": 5},
    {"padding_idx": -3, "scale_grad_by_freq": True},
    {"padding_idx": 5, "max_norm": 3.0, "norm_type": 1.0},
    {"padding_idx": -1, "scale_grad_by_freq": True, "max_norm": 2.5},
)


@gradient_feature(
    "together",
    claim="bound",
    cases=[
        {**options, "dtype": dtype, "index_dtype": index_dtype}
        for options in TOGETHER
        for dtype in ("bfloat16", "float32")
        for index_dtype in ("int32", "int64")
    ],
)
def together(subject: Implementation, **c: Any) -> str | None:
    """Options, 3-D strided indices, a strided gradient, and more rows and lookups than one tile holds, all at once."""
    strides = {"index_strides": "every second column", "gradient_strides": "dimensions reversed"}
    return lookup(subject, V=250, D=16, shape=(4, 5, 12), distribution="zipf", integers=True, **strides, **c)


@feature(
    "dense-gradient", "hot-row", "bound", cases=({"N": 5_000}, {"N": 40_000}, {"N": 300, "scale_grad_by_freq": True})
)
def hot_row(subject: Implementation, N: int, **c: Any) -> str | None:
    """Tens of thousands of lookups of one row are all summed, and counted."""
    return lookup(subject, V=3, D=1, shape=(N,), distribution="hot", integers=True, **c)


@feature("dense-gradient", "all-padding", cases=product(dtype=WIDE, N=(1, 40)))
def all_padding(subject: Implementation, N: int, **c: Any) -> str | None:
    """A batch of padding alone has a gradient of zeros."""
    return lookup(subject, V=8, padding_idx=4, distribution="hot", shape=(N,), **c)


@gradient_feature(
    "gradient-strides",
    claim="bound",
    cases=(*product(gradient_strides=STRIDES, dims=(1, 2, 3)), *product(gradient_strides=STRIDES, D=(16,), dims=(2,))),
)
def gradient_strides(subject: Implementation, dims: int, **c: Any) -> str | None:
    """The gradient of the output is read by any strides, those of 0 that sum() and expand make included."""
    return lookup(subject, shape=(4, 3, 2)[:dims], **c)


@gradient_feature("table-and-index-strides", claim="bound", cases=product(strides=tuple(LAYOUTS)[1:]))
def table_and_index_strides(subject: Implementation, strides: str, sparse: bool) -> str | None:
    """Strided tables and indices have the gradient of contiguous ones; it is contiguous."""
    return lookup(subject, weight_strides=strides, index_strides=strides, sparse=sparse)


@gradient_feature("one-strided-number", claim="bound", cases=product(V=(2, 3), dtype=("bfloat16", "float64")))
def one_strided_number(subject: Implementation, **c: Any) -> str | None:
    """A single gradient of one column, with a stride, is that number alone, not its neighbour in memory."""
    return lookup(subject, D=1, shape=(), gradient_strides="every second row", seed=2, **c)


@gradient_feature("nan-in-padding", cases=product(dtype=("bfloat16", "float32")))
def nan_in_padding(subject: Implementation, dtype: str, sparse: bool) -> None:
    """What stands in padded positions of the gradient, NaN say, reaches no row."""
    weight = torch.randn(4, 3, device=subject.device, dtype=dtype_of(dtype), requires_grad=True)
    indices = torch.tensor([1, 2, 1, 0, 1], device=subject.device)
    grad_output = torch.randn(5, 3, device=subject.device, dtype=dtype_of(dtype))
    grad_output[indices == 1] = float("nan")
    wanted = torch.zeros_like(weight)
    wanted[[2, 0]] = grad_output[[1, 3]]
    out = subject.call(indices, weight, padding_idx=1, sparse=sparse)
    (grad,) = torch.autograd.grad(out, weight, grad_output)
    within(numpy_of(grad), numpy_of(wanted), 0.0, "gradient")


@gradient_feature("nan-spreads-no-further", cases=product(value=("nan", "inf")))
def nan_spreads_no_further(subject: Implementation, value: str, sparse: bool) -> None:
    """A NaN or infinity in one row's gradient stays in that row and column."""
    weight = torch.randn(40, 3, device=subject.device, requires_grad=True)
    indices = torch.arange(80, device=subject.device) % 40
    grad_output = torch.randn(80, 3, device=subject.device)
    grad_output[7, 1] = float(value)
    (grad,) = torch.autograd.grad(subject.call(indices, weight, sparse=sparse), weight, grad_output)
    found = ~numpy_of(grad).__abs__().__lt__(float("inf"))
    require(found[7, 1] and found.sum() == 1, f"{int(found.sum())} numbers are not finite, should be one")


@gradient_feature("thousand-ones", deviation=6, cases=product(dtype=(*NARROW, *WIDE)))
def thousand_ones(subject: Implementation, dtype: str, sparse: bool) -> None:
    """A thousand gradients of one are summed to a thousand, in 16 bits too."""
    indices = torch.ones(1000, dtype=torch.int64, device=subject.device)

    def gradient(call: Callable[..., torch.Tensor]) -> Any:
        weight = torch.zeros(3, 2, device=subject.device, dtype=dtype_of(dtype), requires_grad=True)
        out = call(indices, weight, sparse=sparse)
        return numpy_of(torch.autograd.grad(out, weight, torch.ones_like(out))[0])

    found = gradient(subject.call)
    as_stock(found[1, 0] != 1000 and (found == gradient(F.embedding)).all(), f"the sum is {found[1, 0]:g}")
    require(found.tolist() == [[0, 0], [1000, 1000], [0, 0]], f"gradient: {found.tolist()}")


@gradient_feature("backward-of-sum", cases=product(dtype=WIDE))
def backward_of_sum(subject: Implementation, dtype: str, sparse: bool) -> None:
    """.sum().backward(), whose gradient is one number expanded, adds up to counts in .grad."""
    weight = torch.nn.Parameter(torch.randn(6, 5, device=subject.device, dtype=dtype_of(dtype)))
    indices = torch.tensor([[5, 0, 5], [2, 5, 0]], device=subject.device)
    subject.call(indices, weight, sparse=sparse).sum().backward()
    assert weight.grad is not None
    wanted = torch.zeros(6, 5, device=subject.device, dtype=dtype_of(dtype))
    wanted[[5, 0, 2]] += torch.tensor([[3.0], [2.0], [1.0]], device=subject.device, dtype=dtype_of(dtype))
    within(numpy_of(weight.grad), numpy_of(wanted), 0.0, "gradient")

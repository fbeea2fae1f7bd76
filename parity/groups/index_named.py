"""errors: the message about a bad index, which names it."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..cases import dtype_of, feature, product
from ..compare import as_stock, describe, require, same_bits
from ..inputs import LAYOUTS
from ..subject import Implementation
from .index_range import LEAST, MOST, RANGE, V, full, is_stocks, many, refused, stock_error, unchanged


def named(
    call: Callable[[Tensor, Tensor], object],
    indices: Tensor,
    weight: Tensor,
    at: tuple[int, ...],
    options: dict[str, Any],
) -> str:
    """The message, which must have the value at this position, the position and the number of rows, as numbers."""
    error = refused(lambda: call(indices, weight))
    text = str(error)
    as_stock(is_stocks(error, stock_error(indices, weight, options)[0]), f"says {text!r}, and not which index")
    require(isinstance(error, IndexError), f"raised {describe(error)}, should be an IndexError")
    require(RANGE in text, f"{text!r} does not say {RANGE!r}")
    wanted = {"the value": str(int(indices[at])), "the position": r"\D+".join(map(str, at)), "the table": str(V)}
    for what, pattern in wanted.items():
        require(re.search(rf"(?<![-\d]){pattern}(?!\d)", text), f"{text!r} does not give {what}, {pattern}")
    return text


BLOCK = [[[0, 1, 2], [3, 4, 5]], [[6, 7, 90], [8, -9, 40]]]
WHERE: dict[str, tuple[Callable[[], Tensor], tuple[int, ...]]] = {
    "0-d": (lambda: torch.tensor(57), ()),
    "1-D": (lambda: torch.tensor([V - 1, V]), (1,)),
    "3-D": (lambda: torch.tensor(BLOCK), (1, 0, 2)),
    "3-D int32": (lambda: torch.tensor(BLOCK, dtype=torch.int32), (1, 0, 2)),
    "transposed": (lambda: torch.tensor([[0, 1], [90, 2], [3, 80]]).t(), (0, 1)),
    "every second": (lambda: torch.tensor([1, 90, 2, 91, 77, 3])[::2], (2,)),
    "offset int32": (lambda: torch.tensor([90, 1, 2, 3, 78], dtype=torch.int32)[1:], (3,)),
    "expanded": (lambda: torch.tensor([[1], [90]]).expand(2, 3), (1, 0)),
    "1-D far": (lambda: many("cpu", (1000,), 700, 90), (700,)),
    "2-D far": (lambda: many("cpu", (30, 40), 700, 90), (17, 20)),
}


def on(device: str, x: Tensor) -> Tensor:
    """The tensor on this device, by the same strides."""
    size = 1 + sum((n - 1) * stride for n, stride in zip(x.shape, x.stride(), strict=True))
    return x.as_strided((size,), (1,)).to(device).as_strided(x.shape, x.stride())


@feature("errors", "index-named", claim="same error", deviation=5, cases=product(where=WHERE), needs="cpu")
def index_named(subject: Implementation, where: str) -> None:
    """The IndexError gives the first bad index, its position in the input, and the number of rows, whatever the
    input's shape and strides."""
    make, at = WHERE[where]
    named(subject.call, on(subject.device, make()), full(subject.device), at, {})


VALUES = (
    *product(value=(-1, 2**32 + 1, MOST, LEAST), dtype=("int64",)),
    *product(value=(2**31 - 1, -(2**31)), dtype=("int32",)),
)


@feature("errors", "index-named-value", claim="same error", deviation=5, cases=VALUES, needs="cpu")
def index_named_value(subject: Implementation, value: int, dtype: str) -> None:
    """The IndexError gives the bad index as it is, the least and the greatest of its dtype included."""
    indices = torch.tensor([0, value], dtype=dtype_of(dtype), device=subject.device)
    named(subject.call, indices, full(subject.device), (1,), {})


OPTIONS: dict[str, dict[str, Any]] = {
    "padding": {"padding_idx": 1},
    "max_norm": {"max_norm": 1.0},
    "scale": {"scale_grad_by_freq": True},
    "sparse": {"sparse": True},
    "all": {"padding_idx": -1, "max_norm": 1.0, "norm_type": 1.0, "scale_grad_by_freq": True, "sparse": True},
}


@feature("errors", "index-named-options", claim="same error", deviation=5, cases=product(options=OPTIONS), needs="cpu")
def index_named_options(subject: Implementation, options: str) -> None:
    """Whatever the options, the IndexError gives the first bad index and no other, and nothing is changed."""
    given, weight = OPTIONS[options], full(subject.device).requires_grad_()
    indices = torch.tensor([[1, 2, 60], [-70, 80, 3]], device=subject.device)
    call = partial(subject.call, **given)
    text = named(call, indices, weight, (0, 2), given)
    require(not re.search("70|80", text), f"{text!r} gives later indices")
    unchanged(weight, full("cpu"))


def laid_out(device: str, layout: str) -> Tensor:
    """The table by these strides."""
    return LAYOUTS[layout](full(device))


TABLES: dict[str, Callable[[str], Tensor]] = {
    **{dtype: partial(full, dtype=dtype) for dtype in ("float16", "bfloat16", "complex64", "float8_e5m2")},
    **{f"D={D}": partial(full, D=D) for D in (0, 300)},
    **{layout: partial(laid_out, layout=layout) for layout in ("transposed", "every second column")},
    "one row expanded": lambda device: full(device)[:1].expand(V, 2),
    "one column expanded": lambda device: full(device)[:, :1].expand(V, 4),
}


@feature("errors", "index-named-table", claim="same error", deviation=5, cases=product(table=TABLES), needs="cpu")
def index_named_table(subject: Implementation, table: str) -> None:
    """Whatever the table's dtype, width and strides, the IndexError gives the bad index."""
    indices = torch.tensor([0, 50], device=subject.device)
    named(subject.call, indices, TABLES[table](subject.device), (1,), {})


CONTEXTS: dict[str, Callable[[], Any]] = {
    "grad": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}


@feature(
    "errors", "index-named-module", claim="same error", deviation=5, needs="cpu",
    cases=product(context=CONTEXTS, max_norm=(None, 0.5)),
)  # fmt: skip
def index_named_module(subject: Implementation, context: str, max_norm: float | None) -> None:
    """A module's IndexError gives the bad index in every gradient mode, and its table is not changed."""
    module = subject.make(V, 2, max_norm=max_norm)
    before = module.weight.detach().clone()
    indices = torch.tensor([3, 50], device=subject.device)
    with CONTEXTS[context]():
        named(lambda indices, _: module(indices), indices, module.weight, (1,), {"max_norm": max_norm})
    same_bits(module.weight, before, "the table")
